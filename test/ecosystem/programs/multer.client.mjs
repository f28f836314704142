import { readdirSync, readFileSync } from 'node:fs';
import { expect, runClient } from './client.mjs';
import { HttpWorker } from './http-worker.mjs';

const UPLOADS = `${process.argv[3]}/uploads`;
const BOUNDARY = 'of-the-suite';

function form(content) {
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n`;
  return `${head}${content}\r\n--${BOUNDARY}--\r\n`;
}

await runClient({
  pauseMs: 10,
  effects: () => readdirSync(UPLOADS).length,
  open: () => new HttpWorker(),
  step: async (worker, number, index) => {
    const content = `${index} ${number} ${'x'.repeat((number * 97) % 20_000)}`;
    const body = form(content);
    const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, 'content-length': body.length };
    const { text } = await worker.ask('/upload', { method: 'POST', body, headers });
    const { path, size } = JSON.parse(text);
    expect(size, content.length, 'size');
    expect(readFileSync(path, 'utf8'), content, 'file');
  },
});
