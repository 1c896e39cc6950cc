/** Log lines of the agent, on standard error: one line each, for people (text) or programs (JSON). */
import winston from 'winston';
import type { LogFields, Logger, LogLevel } from '../core/logger.js';

export function createLogger(format: 'text' | 'json', level: LogLevel): Logger {
  const { combine, printf } = winston.format;
  const stamp = winston.format((info) => ({ time: new Date().toISOString(), ...info }))();
  const logger = winston.createLogger({
    level,
    format: combine(stamp, format === 'json' ? winston.format.json() : printf(textLine)),
    transports: [
      new winston.transports.Console({ stderrLevels: ['error', 'warn', 'info', 'debug'] }),
    ],
  });
  return wrap(logger, {});
}

function wrap(logger: winston.Logger, common: LogFields): Logger {
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      logger.log({ ...common, ...fields, level, message });
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: (fields) => wrap(logger, { ...common, ...fields }),
  };
}

function textLine(info: winston.Logform.TransformableInfo): string {
  const { time, level, message, ...fields } = info;
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${textValue(value)}`);
  return `${String(time)} ${level.padEnd(5)} ${oneLine(String(message))}${pairs.join('')}`;
}

function textValue(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** What others sent may be in a message; it must not forge a line of its own. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f]/g, (char) => JSON.stringify(char).slice(1, -1));
}
