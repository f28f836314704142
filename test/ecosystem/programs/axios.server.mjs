import http from 'node:http';
import axios from 'axios';

const service = axios.create({ baseURL: 'http://127.0.0.1:8099', httpAgent: new http.Agent({ keepAlive: true }) });
http
  .createServer(async (request, response) => {
    try {
      const { data } = await service.get(request.url);
      response.end(JSON.stringify(data));
    } catch (error) {
      response.statusCode = 502;
      response.end(String(error.code));
    }
  })
  .listen(80);
