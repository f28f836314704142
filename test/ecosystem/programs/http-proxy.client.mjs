import { effectsClient } from './effects-client.mjs';

await effectsClient();
