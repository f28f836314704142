import Database from 'better-sqlite3';
import express from 'express';

const db = new Database(':memory:');
db.exec('CREATE TABLE counts (id TEXT PRIMARY KEY, count INTEGER)');
const add = db.prepare(
  'INSERT INTO counts VALUES (?, ?) ON CONFLICT(id) DO UPDATE SET count = count + excluded.count RETURNING count',
);
const app = express();
app.use(express.json());
app.post('/count/:id', (request, response) => {
  const { id } = request.params;
  response.json({ id, count: add.get(id, request.body.add).count });
});
app.listen(80);
