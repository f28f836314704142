import express from 'express';
import pino from 'pino';

const logger = pino(pino.destination({ dest: `${process.argv[2]}/lines.log`, sync: true }));
const counts = new Map();
const app = express();
app.use(express.json());
app.post('/count/:id', (request, response) => {
  const { id } = request.params;
  const count = (counts.get(id) ?? 0) + request.body.add;
  counts.set(id, count);
  logger.info({ id, count });
  response.json({ id, count });
});
app.listen(80);
