import Koa from 'koa';

const counts = new Map();
const app = new Koa();
app.use(async (context) => {
  let text = '';
  for await (const part of context.req) text += part;
  const id = context.path.split('/').at(-1);
  const count = (counts.get(id) ?? 0) + JSON.parse(text).add;
  counts.set(id, count);
  context.body = { id, count };
});
app.listen(80);
