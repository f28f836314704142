/**
 * http2 servers whose sessions outlive two primaries: plain with streams, and over TLS with
 * requests, which ping their client.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import t from 'tap';
import { inLab, STACK_ADDRESS, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(120_000);

const [CERT, KEY] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${STACK_ADDRESS}`];
execFileSync('openssl', [...words, '-keyout', KEY, '-out', CERT], { stdio: 'ignore' });

const APP = join(directory, 'app.mjs');
writeFileSync(
  APP,
  `import http2 from 'node:http2'; import { readFileSync } from 'node:fs';
   const sessions = new Map();
   const onStream = (stream, headers) => {
     const count = (sessions.get(stream.session) ?? 0) + 1;
     sessions.set(stream.session, count);
     const hash = [];
     stream.on('data', (part) => hash.push(part));
     stream.on('end', () => {
       const body = Buffer.concat(hash);
       const wait = Number(headers['x-wait'] ?? 0);
       stream.respond({ ':status': 200, 'x-count': String(count) }, { waitForTrailers: true });
       stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
       setTimeout(() => stream.end(headers[':path'] + ' ' + count + ' ' + body.length), wait);
     });
   };
   http2.createServer().on('stream', onStream).listen(80);
   const onRequest = (request, response) => {
     const { session } = request.stream;
     const count = (sessions.get(session) ?? 0) + 1;
     sessions.set(session, count);
     let length = 0;
     request.on('data', (part) => { length += part.length; });
     request.on('end', () => session.ping(() => {
       response.addTrailers({ 'grpc-status': '0' });
       setTimeout(() => response.end(request.url + ' ' + count + ' ' + length), Number(request.headers['x-wait'] ?? 0));
     }));
   };
   http2.createSecureServer(
     { key: readFileSync(${JSON.stringify(KEY)}), cert: readFileSync(${JSON.stringify(CERT)}) }, onRequest).listen(443);`,
);

interface Answer {
  text: string;
  trailer: unknown;
}

/** One stream of a session. */
function ask(session: http2.ClientHttp2Session, path: string, body = '', waitMs = 0): Promise<Answer> {
  return new Promise((done, fail) => {
    const stream = session.request({ ':path': path, ':method': 'POST', 'x-wait': String(waitMs) });
    let text = '';
    let trailer: unknown;
    stream.setEncoding('utf8');
    stream.on('data', (part: string) => {
      text += part;
    });
    stream.on('trailers', (headers) => {
      trailer = headers['grpc-status'];
    });
    stream.on('error', fail);
    stream.on('end', () => done({ text, trailer }));
    stream.end(body);
  });
}

for (const scheme of ['http', 'https'] as const) {
  t.test(`${scheme}: streams of a session, before, during and after two deaths`, async (t) => {
    const group = new TestGroup(directory, ['--log-size', '64'], [APP]);
    const [primary, backup] = await group.pair();
    const session = http2.connect(`${scheme}://${STACK_ADDRESS}`, { rejectUnauthorized: false });
    const problems: string[] = [];
    session.on('error', (error: Error) => problems.push(error.message));
    session.on('goaway', () => problems.push('goaway'));
    t.same(await ask(session, '/a'), { text: '/a 1 0', trailer: '0' });
    const big = 'x'.repeat(300_000);
    const many = await Promise.all(['/b', '/c', '/d'].map((path) => ask(session, path, big)));
    t.same(many.map(({ text }) => text.slice(3)).sort(), ['2 300000', '3 300000', '4 300000']);
    const during = [ask(session, '/e', 'half', 1500), ask(session, '/f', big, 1500)];
    await ask(session, '/g');
    primary.kill('SIGKILL');
    await backup.event('takeover');
    t.same(
      (await Promise.all(during)).map(({ text }) => text),
      ['/e 5 4', '/f 6 300000'],
    );
    const third = group.start();
    await third.event('ready');
    await backup.event('protected');
    t.same(await ask(session, '/h', big), { text: '/h 8 300000', trailer: '0' });
    backup.kill('SIGKILL');
    await third.event('takeover');
    t.same(await ask(session, '/i', big), { text: '/i 9 300000', trailer: '0' });
    t.same(problems, []);
    t.same(
      group.replicas.flatMap(({ events }) => events.filter(({ event }) => /diverged|nondeterministic/.test(event))),
      [],
    );
    session.destroy();
    await group.close();
  });
}
