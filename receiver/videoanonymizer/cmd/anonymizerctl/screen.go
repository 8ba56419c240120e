// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/anonymize"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/telemetry"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// work is a video that is being processed.
type work = telemetry.Active

// screen prints results to stdout, and progress and warnings to stderr. On a terminal, it redraws a single progress
// line; otherwise, it prints progress lines periodically.
type screen struct {
	mu             sync.Mutex
	stdout, stderr io.Writer
	terminal       *os.File // nil if stderr is not a terminal
	drawn          bool     // a progress line is on the terminal
	last           time.Time
}

func newScreen(stdout, stderr io.Writer) *screen {
	s := &screen{stdout: stdout, stderr: stderr, last: time.Now()}
	if file, ok := stderr.(*os.File); ok {
		if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err == nil {
			s.terminal = file
		}
	}
	return s
}

// logger returns a logger that prints the engine's warnings.
func (s *screen) logger() *zap.Logger {
	encoding := zap.NewDevelopmentEncoderConfig()
	encoding.TimeKey, encoding.CallerKey, encoding.StacktraceKey = "", "", ""
	core := zapcore.NewCore(zapcore.NewConsoleEncoder(encoding), s, zapcore.WarnLevel)
	return zap.New(told{core})
}

// told drops log entries about failed files, which the result line of the file already reports.
type told struct{ zapcore.Core }

// Check adds the core to the entry, unless the entry reports a failed file.
func (c told) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if strings.HasSuffix(entry.Message, anonymize.LogFailed) {
		return checked
	}
	return c.Core.Check(entry, checked)
}

// With returns a core with the given fields that drops the same entries.
func (c told) With(fields []zapcore.Field) zapcore.Core { return told{c.Core.With(fields)} }

// Write prints a warning.
func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	return s.stderr.Write(text)
}

// Sync does nothing. zapcore.WriteSyncer requires it.
func (s *screen) Sync() error { return nil }

func (s *screen) println(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
	fmt.Fprintln(s.stdout, text)
}

// clear removes the progress line.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.erase()
}

func (s *screen) erase() {
	if s.drawn {
		fmt.Fprint(s.stderr, "\r\x1b[K")
		s.drawn = false
	}
}

// plainInterval is the interval between progress lines without a terminal.
const plainInterval = 10 * time.Second

// progress shows the progress of the videos being processed and, if there are none, the number of files that have
// ended. Pictures are only counted.
func (s *screen) progress(active []work, ended int, start time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	active = slices.DeleteFunc(slices.Clone(active), func(a work) bool { return watch.IsPicture(a.Key) })
	text := fmt.Sprintf("%d files done, %s", ended, human(time.Since(start).Seconds()))
	if s.terminal == nil {
		if time.Since(s.last) >= plainInterval {
			s.last = time.Now()
			for _, a := range active {
				fmt.Fprintln(s.stderr, strings.TrimSpace(progressLine(a, 0)))
			}
			if len(active) == 0 {
				fmt.Fprintln(s.stderr, text)
			}
		}
		return
	}
	if len(active) > 0 {
		text = progressLine(active[0], barWidth)
	}
	if len(active) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(active)-1)
	}
	fmt.Fprint(s.stderr, "\r\x1b[K", cut(text, s.columns()-1))
	s.drawn = true
}

func (s *screen) columns() int {
	size, err := unix.IoctlGetWinsize(int(s.terminal.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 {
		return 80
	}
	return int(size.Col)
}

// barWidth is the width of a progress bar in columns.
const barWidth = 24

// progressLine describes the progress of a video, with a bar of the given width.
func progressLine(a work, width int) string {
	p := a.Progress
	text := filepath.Base(a.Key)
	if p.Done >= 0 {
		if width > 0 {
			full := int(p.Done * float64(width))
			text += " [" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
		}
		text += fmt.Sprintf(" %.0f %%", 100*p.Done)
	} else {
		text += fmt.Sprintf(" %d frames", a.Done)
	}
	if p.Rate > 0 {
		text += fmt.Sprintf(", %.1f frames/s", p.Rate)
	}
	if p.Remaining >= 0 {
		text += ", " + human(max(1, p.Remaining.Seconds())) + " left"
	}
	return text
}

// cut truncates text to the given number of characters.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most || most < 1 {
		return text
	}
	return string([]rune(text)[:most])
}
