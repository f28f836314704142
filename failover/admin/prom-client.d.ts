/**
 * The part of prom-client that is used here: what writes the text. Its entry would load Node's
 * cluster module, and metrics of a process that the program may want to have for itself.
 */
declare module 'prom-client/lib/registry.js' {
  /** One line: a value with its labels. */
  export interface MetricValue {
    readonly value: number;
    readonly labels: Readonly<Record<string, string>>;
    /** Where it is not the metric's own: `NAME_bucket`. */
    readonly metricName?: string;
  }
  /** What a registry asks for each metric when it is read. */
  export interface MetricSource {
    readonly name: string;
    get(): {
      readonly name: string;
      readonly help: string;
      readonly type: string;
      readonly values: readonly MetricValue[];
    };
  }
  export default class Registry {
    static readonly PROMETHEUS_CONTENT_TYPE: string;
    registerMetric(metric: MetricSource): void;
    /** The text of all metrics. */
    metrics(): Promise<string>;
  }
}
