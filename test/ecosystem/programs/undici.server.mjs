import http from 'node:http';
import { request as ask } from 'undici';

http
  .createServer(async (request, response) => {
    try {
      const { body } = await ask(`http://127.0.0.1:8099${request.url}`);
      response.end(JSON.stringify(await body.json()));
    } catch (error) {
      response.statusCode = 502;
      response.end(String(error.code));
    }
  })
  .listen(80);
