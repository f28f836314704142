/** A program that lives on after its own bugs. */
import http from 'node:http';

let caught = 0;
let later = 0;
process.on('uncaughtException', () => {
  caught++;
});

http
  .createServer((request, response) => {
    if (request.url === '/throw') {
      process.nextTick(() => {
        later++;
      });
      throw new Error('a bug');
    }
    if (request.url === '/timer') {
      setTimeout(() => {
        throw new Error('a late bug');
      }, 5);
    }
    response.end(request.url === '/now' ? String(Date.now()) : `${caught} ${later}`);
  })
  .listen(80);
