import bcrypt from '@node-rs/bcrypt';
import express from 'express';

const counts = new Map();
const app = express();
app.use(express.json());
app.post('/count/:id', async (request, response) => {
  const { id } = request.params;
  const hash = await bcrypt.hash(id, 4);
  if (!(await bcrypt.compare(id, hash))) return response.status(500).end();
  const count = (counts.get(id) ?? 0) + request.body.add;
  counts.set(id, count);
  response.json({ id, count });
});
app.listen(80);
