import http from 'node:http';
import { buildSchema, graphql } from 'graphql';

const counts = new Map();
const schema = buildSchema('type Query { count(id: ID!): Int } type Mutation { add(id: ID!, by: Int!): Int }');
const rootValue = {
  count: ({ id }) => counts.get(id) ?? 0,
  add: ({ id, by }) => counts.set(id, (counts.get(id) ?? 0) + by).get(id),
};
http
  .createServer(async (request, response) => {
    let source = '';
    for await (const part of request) source += part;
    response.end(JSON.stringify(await graphql({ schema, source, rootValue })));
  })
  .listen(80);
