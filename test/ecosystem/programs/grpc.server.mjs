import grpc from '@grpc/grpc-js';
import { SERVICE } from './grpc-service.mjs';

const counts = new Map();
const server = new grpc.Server();
server.addService(SERVICE, {
  add: ({ request }, done) => {
    const count = (counts.get(request.id) ?? 0) + request.add;
    counts.set(request.id, count);
    done(null, { count });
  },
  talk: (call) => {
    let count = 0;
    call.on('data', ({ add }) => call.write({ count: (count += add) }));
    call.on('end', () => call.end());
  },
});
server.bindAsync('0.0.0.0:80', grpc.ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
