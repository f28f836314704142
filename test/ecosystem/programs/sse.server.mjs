import http from 'node:http';

http
  .createServer((request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    let id = 0;
    const timer = setInterval(() => response.write(`id: ${++id}\ndata: event ${id} ${Date.now() > 0}\n\n`), 5);
    request.on('close', () => clearInterval(timer));
  })
  .listen(80);
