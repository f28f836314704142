import http from 'node:http';
import got from 'got';

http
  .createServer(async (request, response) => {
    try {
      const answer = await got(`http://127.0.0.1:8099${request.url}`, { retry: { limit: 0 } });
      response.end(answer.body);
    } catch (error) {
      response.statusCode = 502;
      response.end(String(error.code));
    }
  })
  .listen(80);
