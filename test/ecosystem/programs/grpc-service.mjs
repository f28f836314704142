// One service without a .proto file: messages are JSON.
const serialize = (value) => Buffer.from(JSON.stringify(value));
const deserialize = (bytes) => JSON.parse(bytes.toString());
const common = {
  requestSerialize: serialize,
  requestDeserialize: deserialize,
  responseSerialize: serialize,
  responseDeserialize: deserialize,
};

export const SERVICE = {
  add: { path: '/counter.Counter/Add', requestStream: false, responseStream: false, ...common },
  talk: { path: '/counter.Counter/Talk', requestStream: true, responseStream: true, ...common },
};
