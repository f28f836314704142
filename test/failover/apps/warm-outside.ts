/**
 * A program with a database: argv has its port, and the path of a server of its own. A line of a
 * client goes to the database, and what comes back is the answer.
 */
import net from 'node:net';

const [port, path] = process.argv.slice(2);
const database = net.connect(Number(port), '10.77.0.1');
let asking: net.Socket | null = null;
database.on('data', (part) => asking?.write(`${part.toString().trim()} by the database\n`));
database.on('error', () => undefined);

function serve(socket: net.Socket): void {
  socket.on('data', (part) => {
    asking = socket;
    database.write(part);
  });
  socket.on('error', () => undefined);
}

net.createServer(serve).on('restore', serve).listen(7);
net.createServer((socket) => socket.end(`local ${process.pid}`)).listen(path);
