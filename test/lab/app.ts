/**
 * The lab's program: downloads, uploads and WebSockets on 8080, and what the tests' program has on
 * 80, 7 and 8.
 */
import '../../failover/demo/app.js';
import '../failover/apps/kit.js';
