// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.uber.org/zap"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/metadata"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
)

// totals are counts since the receiver started.
type totals struct {
	analyzed, carried, failed, whole int64
	masks                            record.MasksByOrigin
	uncertain                        int64
	finished, empty, videosFailed    int64
	interrupted, retried             int64
}

// videoMetrics is the progress of a video.
type videoMetrics struct {
	name     string
	people   int64
	progress Progress
	factor   float64
}

// count adds a frame to the figures of its video and to the totals.
func (e *Emitter) count(f *figures, rec *record.Frame) {
	failed := rec.Err != nil && rec.FailedStage != record.StageVisualization
	e.self.add(e.self.builder.ReceiverVideoanonymizerFrames, 1)
	if rec.WholeFrameMasked {
		e.self.add(e.self.builder.ReceiverVideoanonymizerFramesMaskedWhole, 1)
	}
	if failed {
		e.self.add(e.self.builder.ReceiverVideoanonymizerInferenceFailures, 1)
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	t := &e.totals
	switch {
	case failed:
		t.failed++
	case rec.Analyzed:
		t.analyzed++
	default:
		t.carried++
	}
	t.masks.Pose += rec.MasksByOrigin.Pose
	t.masks.Face += rec.MasksByOrigin.Face
	t.masks.Box += rec.MasksByOrigin.Box
	t.masks.Interpolated += rec.MasksByOrigin.Interpolated
	t.masks.Held += rec.MasksByOrigin.Held
	t.masks.Screen += rec.MasksByOrigin.Screen
	t.uncertain += int64(rec.Uncertain)
	if f.frames == 0 {
		f.first, f.firstAt = rec.PTS, e.now()
	}
	f.frames++
	f.last = rec.PTS
	f.masks += rec.Masks
	f.uncertain += rec.Uncertain
	f.people = rec.People
	f.most = max(f.most, rec.People)
	if rec.Analyzed && !failed {
		f.analyzed++
	}
	if rec.Err != nil {
		f.failed++
	}
	if rec.WholeFrameMasked {
		f.whole++
		t.whole++
	}
}

// videoEnded counts the outcome and keeps the video's final figures for one more set of metrics.
func (e *Emitter) videoEnded(s *VideoSpan, end time.Time, outcome metadata.AttributeAnonymizerVideoOutcome,
	retried bool) {
	if outcome == metadata.AttributeAnonymizerVideoOutcomeFailed {
		e.self.add(e.self.builder.ReceiverVideoanonymizerVideosFailed, 1)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.active, s)
	last := s.metrics(end)
	switch outcome {
	case metadata.AttributeAnonymizerVideoOutcomeFinished:
		e.totals.finished++
		if s.nobody {
			e.totals.empty++
		}
		last.progress.Done, last.progress.Remaining = 1, 0
	case metadata.AttributeAnonymizerVideoOutcomeFailed:
		e.totals.videosFailed++
		if retried {
			e.totals.retried++
		}
		last.progress.Remaining = -1
	case metadata.AttributeAnonymizerVideoOutcomeInterrupted:
		e.totals.interrupted++
		last.progress.Remaining = -1
	}
	if e.metrics != nil && s.all().frames > 0 && !s.video.Picture { // one series per picture would be too many
		e.ended = append(e.ended, last)
	}
}

// metrics returns the video's progress. The emitter's lock must be held.
func (s *VideoSpan) metrics(now time.Time) videoMetrics {
	return videoMetrics{name: s.video.Name, people: int64(s.all().people), progress: s.progress(now),
		factor: realTimeFactor(s.playing(), now.Sub(s.start))}
}

// collection forwards a set of metrics to the pipeline at a fixed interval.
type collection struct {
	emitter  *Emitter
	builder  *metadata.MetricsBuilder
	next     consumer.Metrics
	report   *receiverhelper.ObsReport
	interval time.Duration
	queue    func() int // may be nil
	logger   *zap.Logger
	refused  bool // whether the last set was refused

	stopping chan struct{}
	stop     sync.Once
	done     chan struct{}
	ctx      context.Context
	giveUp   context.CancelFunc
}

func newCollection(e *Emitter, set receiver.Settings, opts Options, next consumer.Metrics,
	report *receiverhelper.ObsReport) *collection {
	config := metadata.MetricsBuilderConfig{Metrics: opts.Metrics,
		ResourceAttributes: metadata.DefaultResourceAttributesConfig()}
	return &collection{
		emitter: e, next: next, report: report, interval: opts.MetricsInterval, queue: opts.QueueLength, logger: set.Logger,
		builder:  metadata.NewMetricsBuilder(config, set),
		stopping: make(chan struct{}), done: make(chan struct{}),
	}
}

func (c *collection) start() {
	c.ctx, c.giveUp = context.WithCancel(context.Background())
	go func() {
		defer close(c.done)
		ticker := time.NewTicker(c.interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				c.push()
			case <-c.stopping:
				c.push()
				if c.emitter.anyReported() {
					c.push()
				}
				return
			}
		}
	}()
}

// shutdown forwards a last set and reports whether the goroutine has ended, like delivery.shutdown.
func (c *collection) shutdown(ctx context.Context) bool {
	c.stop.Do(func() { close(c.stopping) })
	return awaitEnd(ctx, c.done, c.giveUp)
}

// push does not retry, because the next set supersedes this one.
func (c *collection) push() {
	metrics := c.collect(time.Now())
	n := metrics.DataPointCount()
	op := c.report.StartMetricsOp(c.ctx)
	err := c.next.ConsumeMetrics(op, metrics)
	c.report.EndMetricsOp(op, "pdata", n, err)
	if err != nil && !c.refused {
		c.logger.Warn("the pipeline refused a set of metrics: the next set replaces it", zap.Error(err))
	}
	c.refused = err != nil
}

// snapshot is the content of a set of metrics. Videos are keyed by name, because the name distinguishes their series.
type snapshot struct {
	totals totals
	// videos are in progress, or have ended since the last snapshot. The videos in gone ended before that.
	videos, gone map[string]videoMetrics
}

func (e *Emitter) snapshot(now time.Time) snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := snapshot{totals: e.totals, videos: map[string]videoMetrics{}, gone: map[string]videoMetrics{}}
	for _, v := range e.ended {
		s.videos[v.name] = v
	}
	for active := range e.active {
		if active.all().frames > 0 && !active.video.Picture {
			s.videos[active.video.Name] = active.metrics(now)
		}
	}
	for _, v := range e.reported {
		if _, again := s.videos[v.name]; again {
			continue
		}
		if v.progress.Done >= 0 {
			v.progress.Remaining = 0 // unfinished videos did not report it the last time, but every series must end
		}
		s.gone[v.name] = v
	}
	e.reported, e.ended = e.ended, nil
	return s
}

// anyReported reports whether the next set of metrics ends the series of a video.
func (e *Emitter) anyReported() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.reported) > 0
}

func (c *collection) collect(now time.Time) pmetric.Metrics {
	s := c.emitter.snapshot(now)
	ts := pcommon.NewTimestampFromTime(now)
	for _, v := range s.videos {
		c.recordVideo(ts, v)
	}
	for _, v := range s.gone { // last: v0.155 of the Prometheus exporter skips points after one without a value
		c.recordVideo(ts, v)
	}
	c.recordTotals(ts, s.totals)
	metrics := c.builder.Emit(metadata.WithResource(c.emitter.resource))
	endSeries(metrics, s.gone)
	return metrics
}

func (c *collection) recordVideo(ts pcommon.Timestamp, v videoMetrics) {
	b := c.builder
	b.RecordAnonymizerVideoPeopleDataPoint(ts, v.people, v.name)
	b.RecordAnonymizerVideoRealTimeFactorDataPoint(ts, v.factor, v.name)
	if v.progress.Done >= 0 {
		b.RecordAnonymizerVideoProgressDataPoint(ts, v.progress.Done, v.name)
	}
	if v.progress.Remaining >= 0 {
		b.RecordAnonymizerVideoRemainingDataPoint(ts, v.progress.Remaining.Seconds(), v.name)
	}
}

// endSeries removes the value from the points of videos that are gone, which tells exporters that these series end.
func endSeries(metrics pmetric.Metrics, gone map[string]videoMetrics) {
	for _, m := range metrics.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().All() {
		if m.Type() != pmetric.MetricTypeGauge {
			continue
		}
		for _, dp := range m.Gauge().DataPoints().All() {
			name, ok := dp.Attributes().Get(attrVideoName)
			if !ok {
				continue
			}
			if _, ended := gone[name.Str()]; !ended {
				continue
			}
			end := pmetric.NewNumberDataPoint()
			dp.Attributes().CopyTo(end.Attributes())
			end.SetTimestamp(dp.Timestamp())
			end.SetFlags(pmetric.DefaultDataPointFlags.WithNoRecordedValue(true))
			end.CopyTo(dp)
		}
	}
}

func (c *collection) recordTotals(ts pcommon.Timestamp, t totals) {
	b := c.builder
	b.RecordAnonymizerQueueLengthDataPoint(ts, c.queueLength())
	b.RecordAnonymizerFramesDataPoint(ts, t.analyzed, metadata.AttributeAnonymizerFrameJudgementJudged)
	b.RecordAnonymizerFramesDataPoint(ts, t.carried, metadata.AttributeAnonymizerFrameJudgementCarried)
	b.RecordAnonymizerFramesDataPoint(ts, t.failed, metadata.AttributeAnonymizerFrameJudgementFailed)
	b.RecordAnonymizerWholeFramesDataPoint(ts, t.whole)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Pose), metadata.AttributeAnonymizerMaskOriginPose)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Face), metadata.AttributeAnonymizerMaskOriginFace)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Box), metadata.AttributeAnonymizerMaskOriginBox)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Interpolated), metadata.AttributeAnonymizerMaskOriginInterpolated)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Held), metadata.AttributeAnonymizerMaskOriginHeld)
	b.RecordAnonymizerMasksDataPoint(ts, int64(t.masks.Screen), metadata.AttributeAnonymizerMaskOriginScreen)
	b.RecordAnonymizerUncertainPeopleDataPoint(ts, t.uncertain)
	b.RecordAnonymizerVideosDataPoint(ts, t.finished, metadata.AttributeAnonymizerVideoOutcomeFinished)
	b.RecordAnonymizerVideosDataPoint(ts, t.videosFailed, metadata.AttributeAnonymizerVideoOutcomeFailed)
	b.RecordAnonymizerVideosDataPoint(ts, t.interrupted, metadata.AttributeAnonymizerVideoOutcomeInterrupted)
	b.RecordAnonymizerEmptyVideosDataPoint(ts, t.empty)
	b.RecordAnonymizerRetriesDataPoint(ts, t.retried)
}

func (c *collection) queueLength() int64 {
	if c.queue == nil {
		return 0
	}
	return int64(c.queue())
}
