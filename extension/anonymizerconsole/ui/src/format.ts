// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

import { language } from "./i18n";

/** A number with at most the given number of decimal places. */
export function number(value: number, digits = 0): string {
  return value.toLocaleString(language.value, { maximumFractionDigits: digits });
}

/** A share from 0 to 1 as a percentage; 100% only if nothing is left. */
export function percent(share: number): string {
  const whole = share >= 1 ? 100 : Math.min(99, Math.floor(share * 100));
  return (whole / 100).toLocaleString(language.value, { style: "percent" });
}

/** A time in a video, as 1:02:03.456. */
export function timecode(seconds: number, digits = 3): string {
  const unit = 10 ** digits;
  const ticks = Math.max(0, Math.round(seconds * unit));
  const [hours, minutes] = [Math.floor(ticks / unit / 3600), Math.floor(ticks / unit / 60) % 60];
  const rest = ((ticks % (60 * unit)) / unit).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

/** A rough time span in words, such as "5 min". */
export function span(seconds: number): string {
  const parts: [number, string][] =
    seconds < 60
      ? [[Math.max(1, Math.round(seconds)), "second"]]
      : seconds < 3600
        ? [[Math.round(seconds / 60), "minute"]]
        : [
            [Math.floor(seconds / 3600), "hour"],
            [Math.round((seconds % 3600) / 60), "minute"],
          ];
  return parts
    .filter(([value]) => value > 0)
    .map(([value, unit]) => value.toLocaleString(language.value, { style: "unit", unit, unitDisplay: "short" }))
    .join(" ");
}

export function bytes(size: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(size) / 3));
  return (size / 1000 ** power).toLocaleString(language.value, {
    style: "unit",
    unit: units[power],
    unitDisplay: "short",
    maximumSignificantDigits: 3,
  });
}

/** A date and time for display; only the time if it is today. */
export function instant(iso: string): string {
  const date = new Date(iso);
  const time = date.toLocaleTimeString(language.value, { hour: "2-digit", minute: "2-digit" });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString(language.value, { year: "numeric", month: "short", day: "numeric" })}, ${time}`;
}

/** A date and time with seconds, for records. */
export function exactInstant(iso: string): string {
  return new Date(iso).toLocaleString(language.value, { dateStyle: "medium", timeStyle: "medium" });
}
