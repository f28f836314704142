/** Wants to be repeated, whatever the group is. */
import net from 'node:net';

net.createServer().listen({ port: 7, replication: 'replay' } as net.ListenOptions);
