import express from 'express';

const counts = new Map();
const app = express();
app.use(express.json());
app.post('/count/:id', (request, response) => {
  const { id } = request.params;
  const count = (counts.get(id) ?? 0) + request.body.add;
  counts.set(id, count);
  response.json({ id, count });
});
app.listen(80);
