/** Wants to be repeated, whatever the group is. */
import net from 'node:net';
import '../../../failover/replica/program-types.js';

net.createServer().listen({ port: 7, replication: 'replay' });
