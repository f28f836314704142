import { serve } from '@hono/node-server';
import { Hono } from 'hono';

const counts = new Map();
const app = new Hono();
app.post('/count/:id', async (context) => {
  const id = context.req.param('id');
  const { add } = await context.req.json();
  const count = (counts.get(id) ?? 0) + add;
  counts.set(id, count);
  return context.json({ id, count });
});
serve({ fetch: app.fetch, port: 80 });
