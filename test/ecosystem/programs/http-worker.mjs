// A worker of an HTTP server: requests over one connection, which must stay the same.
import http from 'node:http';
import { HOST } from './client.mjs';

/** One keep-alive connection. */
export class HttpWorker {
  #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  #socket = null;

  /** @returns status, headers and text; rejects when the connection is another one than before */
  ask(path, { method = 'GET', body = '', headers = {} } = {}) {
    return new Promise((done, fail) => {
      const request = http.request({ host: HOST, path, method, headers, agent: this.#agent }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part) => {
          text += part;
        });
        response.on('error', fail);
        response.on('end', () => done({ status: response.statusCode, headers: response.headers, text }));
      });
      request.on('error', fail);
      request.on('socket', (socket) => {
        if (this.#socket !== null && this.#socket !== socket) fail(new Error('the connection was lost'));
        this.#socket = socket;
      });
      request.end(body);
    });
  }
}
