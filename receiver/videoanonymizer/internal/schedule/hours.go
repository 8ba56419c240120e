// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package schedule decides when videos are processed on a machine that others use, too: at certain hours, not on
// battery, and only while other programs leave enough of the processors.
package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Span is a part of the day, on some days of the week.
type Span struct {
	days [7]bool // by time.Weekday; the days on which it begins
	// from and to are times of day. If to is not after from, it is on the next day.
	from, to time.Duration
}

const day = 24 * time.Hour

// ParseSpan parses a span such as "22:00-06:00", "mon-fri 19:00-07:00" or "sat,sun", in local time. Without days, it
// applies every day; without times, all day.
func ParseSpan(text string) (s Span, err error) {
	fields := strings.Fields(strings.ToLower(text))
	if len(fields) == 0 || len(fields) > 2 {
		return s, errors.New("expected days, times, or days and times")
	}
	s.to = day
	first := fields[0]
	if strings.Contains(first, ":") {
		for i := range s.days {
			s.days[i] = true
		}
	} else if s.days, err = parseDays(first); err != nil {
		return s, err
	} else if fields = fields[1:]; len(fields) == 0 {
		return s, nil
	}
	if len(fields) > 1 {
		return s, errors.New("the days come first")
	}
	from, to, ok := strings.Cut(fields[0], "-")
	if !ok {
		return s, fmt.Errorf("%q has no end", fields[0])
	}
	if s.from, err = parseTime(from); err != nil {
		return s, err
	}
	if s.to, err = parseTime(to); err != nil {
		return s, err
	}
	if s.from == s.to || s.from == day {
		return s, fmt.Errorf("%q is not a time", fields[0])
	}
	return s, nil
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

func parseDays(text string) (days [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		from, to := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if !ranged {
			to = from
		}
		if from < 0 || to < 0 {
			return days, fmt.Errorf("%q is not a day of the week", part)
		}
		for d := from; ; d = (d + 1) % len(days) {
			days[d] = true
			if d == to {
				break
			}
		}
	}
	return days, nil
}

// parseTime parses a time of day, including 24:00.
func parseTime(text string) (time.Duration, error) {
	if text == "24:00" {
		return day, nil
	}
	t, err := time.Parse("15:04", text)
	if err != nil || len(text) != len("15:04") {
		return 0, fmt.Errorf("%q is not a time of day", text)
	}
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute, nil
}

// Includes reports whether a time, in its own zone, is in the span. When clocks are changed, the time that they show
// counts.
func (s Span) Includes(t time.Time) bool {
	at := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute
	today, yesterday := s.days[t.Weekday()], s.days[(t.Weekday()+6)%7]
	if s.from < s.to {
		return today && at >= s.from && at < s.to
	}
	return today && at >= s.from || yesterday && at < s.to
}
