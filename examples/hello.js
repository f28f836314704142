// An ordinary server: npx ft-tcp up --publish 80 examples/hello.js
import http from 'node:http';

let visitors = 0;

http
  .createServer((request, response) => {
    visitors++;
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    response.end(`hello ${request.socket.remoteAddress}, you are visitor ${visitors}\n`);
  })
  .listen(80);
