export interface Check {
  name: string;
  run(): Promise<{ outcome: 'passed' | 'failed' | 'known' | 'absent'; text: string }>;
}
export function toolChecks(): Check[] {
  return [];
}
