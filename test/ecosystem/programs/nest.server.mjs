import 'reflect-metadata';
import { Body, Controller, Module, Param, Post } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';

// What TypeScript's decorators compile to.
function decorate(decorators, target, key) {
  const descriptor = Object.getOwnPropertyDescriptor(target, key);
  for (const decorator of decorators) decorator(target, key, descriptor);
}

class Counter {
  #counts = new Map();

  count(id, body) {
    const count = (this.#counts.get(id) ?? 0) + body.add;
    this.#counts.set(id, count);
    return { id, count };
  }
}
Param('id')(Counter.prototype, 'count', 0);
Body()(Counter.prototype, 'count', 1);
decorate([Post('count/:id')], Counter.prototype, 'count');
Controller()(Counter);

class App {}
Module({ controllers: [Counter] })(App);

const app = await NestFactory.create(App, { logger: false });
await app.listen(80);
