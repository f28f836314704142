import argon2 from 'argon2';
import express from 'express';

const counts = new Map();
const app = express();
app.use(express.json());
app.post('/count/:id', async (request, response) => {
  const { id } = request.params;
  const hash = await argon2.hash(id, { memoryCost: 1024, timeCost: 2, parallelism: 1 });
  if (!(await argon2.verify(hash, id))) return response.status(500).end();
  const count = (counts.get(id) ?? 0) + request.body.add;
  counts.set(id, count);
  response.json({ id, count });
});
app.listen(80);
