import express from 'express';
import winston from 'winston';

const logger = winston.createLogger({
  format: winston.format.combine(winston.format.timestamp(), winston.format.json()),
  transports: [new winston.transports.File({ filename: `${process.argv[2]}/lines.log` })],
});
const counts = new Map();
const app = express();
app.use(express.json());
app.post('/count/:id', (request, response) => {
  const { id } = request.params;
  const count = (counts.get(id) ?? 0) + request.body.add;
  counts.set(id, count);
  logger.info('counted', { id, count });
  response.json({ id, count });
});
app.listen(80);
