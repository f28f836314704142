import http from 'node:http';
import httpProxy from 'http-proxy';

const proxy = httpProxy.createProxyServer({
  target: 'http://127.0.0.1:8099',
  agent: new http.Agent({ keepAlive: true }),
});
proxy.on('error', (error, _request, response) => {
  response.statusCode = 502;
  response.end(String(error.code));
});
http.createServer((request, response) => proxy.web(request, response)).listen(80);
