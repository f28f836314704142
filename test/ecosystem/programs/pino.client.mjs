import { countingClient } from './counter-client.mjs';

await countingClient({ logs: true });
