/** Sessions over UDP: every client's numbers are added up. Who asks again gets the same answer. */
import dgram from 'node:dgram';
import http from 'node:http';

interface Session {
  last: number;
  sum: number;
}

const sessions = new Map<string, Session>();

function serve(socket: dgram.Socket): void {
  socket.on('message', (message, { address, port }) => {
    const [name, number] = message.toString().split(' ') as [string, string];
    const n = Number(number);
    const session = sessions.get(name) ?? { last: 0, sum: 0 };
    sessions.set(name, session);
    if (n === session.last + 1) {
      session.last = n;
      session.sum += n;
    }
    // Some answers come later: a timer is an event of its own.
    const answer = `${name} ${n} ${session.sum}`;
    if (n % 3 === 0) setTimeout(() => socket.send(answer, port, address), 2);
    else socket.send(answer, port, address);
  });
}

const main = dgram.createSocket('udp4');
serve(main);
main.bind(4000);
// Whatever port it gets, its copies get the same.
const chosen = dgram.createSocket({ type: 'udp4', reuseAddr: true });
serve(chosen);
chosen.bind(0, () => chosen.addMembership('239.1.2.3'));
// It comes and goes.
let turns = 0;
function comeAndGo(): void {
  const short = dgram.createSocket('udp4');
  short.bind(4001, () => {
    short.close(() => {
      if (++turns < 5) comeAndGo();
    });
  });
}
comeAndGo();
// The stack has no way there.
const outside = dgram.createSocket('udp4');
outside.send('metric', 9, '127.0.0.1', () => outside.close());

http
  .createServer((_request, response) => {
    let refused = '';
    try {
      chosen.send(Buffer.alloc(70_000), 1, '10.77.0.1', (error) => {
        refused = (error as NodeJS.ErrnoException | null)?.code ?? 'sent';
        response.end(`${chosen.address().port} ${turns} ${refused}`);
      });
    } catch (error) {
      response.end(String(error));
    }
  })
  .listen(80);
