import bcrypt from 'bcryptjs';
import express from 'express';
import jwt from 'jsonwebtoken';

const SECRET = 'of the suite';
const users = new Map();
const app = express();
app.use(express.json());
app.post('/register', async (request, response) => {
  const { name, password } = request.body;
  users.set(name, await bcrypt.hash(password, 4));
  response.json({ token: jwt.sign({ name }, SECRET, { expiresIn: '1h' }) });
});
app.post('/login', async (request, response) => {
  const { name, password } = request.body;
  if (!(await bcrypt.compare(password, users.get(name)))) return response.status(401).end();
  response.json({ token: jwt.sign({ name }, SECRET, { expiresIn: '1h' }) });
});
app.get('/me', (request, response) => response.json(jwt.verify(request.headers.authorization, SECRET)));
app.listen(80);
