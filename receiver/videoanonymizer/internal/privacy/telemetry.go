// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"golang.org/x/sys/unix"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
)

// Files of telemetry are written by the collector's file exporter in its format json: one line per batch.

// subjects are the texts that identify a video in telemetry.
type subjects map[string]bool

// in reports whether a value is a subject or a text with a subject as a word.
func (s subjects) in(value pcommon.Value) bool {
	text := value.AsString()
	if s[text] {
		return true
	}
	for subject := range s {
		if hasWord(text, subject) {
			return true
		}
	}
	return false
}

func hasWord(text, word string) bool {
	for from := 0; ; from++ {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		if from += at; apart(text, from, len(word)) {
			return true
		}
	}
}

// apart reports whether a part of a text is not part of a longer name.
func apart(text string, at, length int) bool {
	const ends = " \t\n\"'`:;,()[]{}=<>/"
	before := at == 0 || strings.IndexByte(ends, text[at-1]) >= 0
	after := at+length == len(text) || strings.IndexByte(ends, text[at+length]) >= 0
	return before && after
}

func (s subjects) inAny(attrs pcommon.Map) bool {
	for _, value := range attrs.All() {
		if s.in(value) {
			return true
		}
	}
	return false
}

// eraser removes information about a video from lines of telemetry.
type eraser struct {
	subjects subjects
	// traces are the traces with a span that names the video. All of their spans are removed.
	traces traceSet
}

type traceSet map[pcommon.TraceID]bool

// errUnknownLine is returned for a line that is not telemetry.
var errUnknownLine = errors.New("a line is not telemetry as the file exporter writes it")

// collect collects the traces in a line that name the video.
func (e *eraser) collect(line []byte) {
	if !bytes.HasPrefix(line, []byte(`{"resourceSpans"`)) {
		return
	}
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
	if err != nil {
		return // erase reports the error
	}
	eachSpan(traces, func(span ptrace.Span) {
		if e.names(span) {
			e.traces[span.TraceID()] = true
		}
	})
}

func (e *eraser) names(span ptrace.Span) bool {
	if e.subjects.inAny(span.Attributes()) || e.subjects.in(pcommon.NewValueStr(span.Status().Message())) {
		return true
	}
	for i := range span.Events().Len() {
		if e.subjects.inAny(span.Events().At(i).Attributes()) {
			return true
		}
	}
	return false
}

func eachSpan(traces ptrace.Traces, use func(ptrace.Span)) {
	for _, resource := range traces.ResourceSpans().All() {
		for _, scope := range resource.ScopeSpans().All() {
			for _, span := range scope.Spans().All() {
				use(span)
			}
		}
	}
}

// emptyBatch is the line of an empty batch.
const emptyBatch = "{}"

// erase returns the line without information about the video, and the number of spans, records and points removed. The
// line is empty if nothing is left.
func (e *eraser) erase(line []byte) ([]byte, int, error) {
	switch {
	case bytes.HasPrefix(line, []byte(`{"resourceSpans"`)):
		return e.eraseTraces(line)
	case bytes.HasPrefix(line, []byte(`{"resourceLogs"`)):
		return e.eraseLogs(line)
	case bytes.HasPrefix(line, []byte(`{"resourceMetrics"`)):
		return e.eraseMetrics(line)
	case string(line) == emptyBatch:
		return line, 0, nil
	}
	return line, 0, errUnknownLine
}

func (e *eraser) eraseTraces(line []byte) ([]byte, int, error) {
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(line)
	if err != nil {
		return line, 0, fmt.Errorf("%w: %w", errUnknownLine, err)
	}
	before := traces.SpanCount()
	traces.ResourceSpans().RemoveIf(func(resource ptrace.ResourceSpans) bool {
		resource.ScopeSpans().RemoveIf(func(scope ptrace.ScopeSpans) bool {
			scope.Spans().RemoveIf(func(span ptrace.Span) bool { return e.traces[span.TraceID()] })
			return scope.Spans().Len() == 0
		})
		return resource.ScopeSpans().Len() == 0
	})
	if traces.SpanCount() == before {
		return line, 0, nil
	}
	if traces.SpanCount() == 0 {
		return nil, before, nil
	}
	text, err := (&ptrace.JSONMarshaler{}).MarshalTraces(traces)
	return text, before - traces.SpanCount(), err
}

func (e *eraser) eraseLogs(line []byte) ([]byte, int, error) {
	logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
	if err != nil {
		return line, 0, fmt.Errorf("%w: %w", errUnknownLine, err)
	}
	before := logs.LogRecordCount()
	logs.ResourceLogs().RemoveIf(func(resource plog.ResourceLogs) bool {
		resource.ScopeLogs().RemoveIf(func(scope plog.ScopeLogs) bool {
			scope.LogRecords().RemoveIf(func(record plog.LogRecord) bool {
				return e.traces[record.TraceID()] || e.subjects.inAny(record.Attributes()) || e.subjects.in(record.Body())
			})
			return scope.LogRecords().Len() == 0
		})
		return resource.ScopeLogs().Len() == 0
	})
	if logs.LogRecordCount() == before {
		return line, 0, nil
	}
	if logs.LogRecordCount() == 0 {
		return nil, before, nil
	}
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(logs)
	return text, before - logs.LogRecordCount(), err
}

func (e *eraser) eraseMetrics(line []byte) ([]byte, int, error) {
	metrics, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
	if err != nil {
		return line, 0, fmt.Errorf("%w: %w", errUnknownLine, err)
	}
	before := metrics.DataPointCount()
	metrics.ResourceMetrics().RemoveIf(func(resource pmetric.ResourceMetrics) bool {
		resource.ScopeMetrics().RemoveIf(func(scope pmetric.ScopeMetrics) bool {
			scope.Metrics().RemoveIf(e.erasePoints)
			return scope.Metrics().Len() == 0
		})
		return resource.ScopeMetrics().Len() == 0
	})
	if metrics.DataPointCount() == before {
		return line, 0, nil
	}
	if metrics.DataPointCount() == 0 {
		return nil, before, nil
	}
	text, err := (&pmetric.JSONMarshaler{}).MarshalMetrics(metrics)
	return text, before - metrics.DataPointCount(), err
}

// erasePoints removes a metric's points that name the video, and reports whether none are left.
func (e *eraser) erasePoints(metric pmetric.Metric) bool {
	numbers := func(points pmetric.NumberDataPointSlice) bool {
		points.RemoveIf(func(p pmetric.NumberDataPoint) bool {
			return e.subjects.inAny(p.Attributes()) || e.exemplars(p.Exemplars())
		})
		return points.Len() == 0
	}
	switch metric.Type() {
	case pmetric.MetricTypeGauge:
		return numbers(metric.Gauge().DataPoints())
	case pmetric.MetricTypeSum:
		return numbers(metric.Sum().DataPoints())
	case pmetric.MetricTypeHistogram:
		points := metric.Histogram().DataPoints()
		points.RemoveIf(func(p pmetric.HistogramDataPoint) bool {
			return e.subjects.inAny(p.Attributes()) || e.exemplars(p.Exemplars())
		})
		return points.Len() == 0
	case pmetric.MetricTypeExponentialHistogram:
		points := metric.ExponentialHistogram().DataPoints()
		points.RemoveIf(func(p pmetric.ExponentialHistogramDataPoint) bool {
			return e.subjects.inAny(p.Attributes()) || e.exemplars(p.Exemplars())
		})
		return points.Len() == 0
	case pmetric.MetricTypeSummary:
		points := metric.Summary().DataPoints()
		points.RemoveIf(func(p pmetric.SummaryDataPoint) bool { return e.subjects.inAny(p.Attributes()) })
		return points.Len() == 0
	}
	return false
}

// exemplars removes exemplars that link to the video's traces. It returns false: exemplars are no reason to remove a
// point.
func (e *eraser) exemplars(all pmetric.ExemplarSlice) bool {
	all.RemoveIf(func(x pmetric.Exemplar) bool {
		return e.traces[x.TraceID()] || e.subjects.inAny(x.FilteredAttributes())
	})
	return false
}

// errOpen is returned for a file that a program has open for writing.
var errOpen = errors.New("a program is writing to it")

// rewriteFile replaces a file of telemetry with one without information about the video, and returns the number of
// items removed. If dry, the file stays. Lines that are not telemetry stay, and the error then wraps errUnknownLine.
func (e *eraser) rewriteFile(path string, dry bool) (erased int, err error) {
	from, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	if !dry && writtenTo(from) {
		return 0, fmt.Errorf("%s: %w", path, errOpen)
	}
	info, err := from.Stat()
	if err != nil {
		return 0, err
	}
	to, err := durable.Replace(path + ".erasing")
	if err != nil {
		return 0, err
	}
	defer os.Remove(to.Name())
	defer to.Close()
	buffered := bufio.NewWriter(to)
	var unknown error
	if err := eachLine(from, func(line []byte) error {
		kept, n, err := e.erase(line)
		if errors.Is(err, errUnknownLine) {
			unknown = fmt.Errorf("%s: %w", path, err)
		} else if err != nil {
			return err
		}
		erased += n
		if len(kept) == 0 {
			return nil
		}
		_, err = buffered.Write(append(kept, '\n'))
		return err
	}); err != nil {
		return 0, err
	}
	if erased == 0 || dry {
		return erased, unknown
	}
	if err := errors.Join(buffered.Flush(), to.Chmod(info.Mode().Perm()), durable.Sync(to)); err != nil {
		return 0, err
	}
	if err := os.Rename(to.Name(), path); err != nil {
		return 0, err
	}
	return erased, errors.Join(unknown, durable.SyncPath(filepath.Dir(path)))
}

// collectFile collects the traces in a file that name the video.
func (e *eraser) collectFile(path string) error {
	from, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer from.Close()
	return eachLine(from, func(line []byte) error {
		e.collect(line)
		return nil
	})
}

// eachLine calls use for each line that is not empty, without the line ending.
func eachLine(from io.Reader, use func([]byte) error) error {
	lines := bufio.NewReaderSize(from, 1<<20)
	for {
		line, err := lines.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			if err := use(text); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writtenTo reports whether a program has the file open for writing. The kernel grants a read lease only if none has.
func writtenTo(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	if err == nil {
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}
	return errors.Is(err, unix.EAGAIN)
}

// isTelemetry reports whether a file begins like those of the file exporter.
func isTelemetry(f *os.File) bool {
	beginning := make([]byte, 4096)
	n, err := f.ReadAt(beginning, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	text := beginning[:n]
	for {
		rest, ok := bytes.CutPrefix(text, []byte(emptyBatch+"\n"))
		if !ok {
			break
		}
		text = rest
	}
	for _, kind := range []string{`{"resourceSpans":[`, `{"resourceLogs":[`, `{"resourceMetrics":[`} {
		if bytes.HasPrefix(text, []byte(kind)) {
			return true
		}
	}
	return false
}
