import http from 'node:http';
import { generateKeyPair, jwtVerify, SignJWT } from 'jose';

const { publicKey, privateKey } = await generateKeyPair('ES256');
http
  .createServer(async (request, response) => {
    const token = request.headers.authorization;
    if (token === undefined) {
      const claims = new SignJWT({ name: request.url }).setProtectedHeader({ alg: 'ES256' });
      response.end(await claims.setIssuedAt().setExpirationTime('1h').sign(privateKey));
      return;
    }
    const { payload } = await jwtVerify(token, publicKey);
    response.end(payload.name);
  })
  .listen(80);
