import Fastify from 'fastify';

const counts = new Map();
const app = Fastify();
app.post('/count/:id', async ({ params: { id }, body }) => {
  const count = (counts.get(id) ?? 0) + body.add;
  counts.set(id, count);
  return { id, count };
});
await app.listen({ port: 80, host: '0.0.0.0' });
