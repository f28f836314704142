import http from 'node:http';
import Redis from 'ioredis';

const redis = new Redis({
  host: '127.0.0.1',
  port: 6379,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 2,
});
redis.on('error', () => undefined);
http
  .createServer(async (request, response) => {
    try {
      const times = await redis.incr(request.url);
      response.end(JSON.stringify({ path: request.url, times }));
    } catch (error) {
      response.statusCode = 502;
      response.end(error.message);
    }
  })
  .listen(80);
