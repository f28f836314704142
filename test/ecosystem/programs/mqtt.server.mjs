import net from 'node:net';
import Aedes from 'aedes';

const broker = new Aedes();
net.createServer(broker.handle).listen(80);
