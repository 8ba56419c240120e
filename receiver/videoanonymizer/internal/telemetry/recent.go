// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"encoding/hex"
	"sync"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

const (
	// RecentSeconds is the age of the oldest figures.
	RecentSeconds = 300
	// recentFrames is the number of frames whose traces can be shown. They take 0.4 MB.
	recentFrames = 512
	// rateSeconds is the period of which the current rate is the mean.
	rateSeconds = 3
)

// CostedStages are the stages whose duration is their cost. Tracking is not among them: its duration is the time that a
// frame waits in the look-ahead window.
var CostedStages = [...]string{record.StageDecode, record.StageDetection, record.StagePose, record.StageVisualization,
	record.StageEncode}

// Recent keeps the figures of the last minutes, and the latest frames, in bounded memory. It is safe for concurrent
// use. A nil *Recent keeps nothing.
type Recent struct {
	now func() time.Time

	mu      sync.Mutex
	seconds [RecentSeconds]Second // by Unix time modulo RecentSeconds
	frames  [recentFrames]recentFrame
	added   int // total number of frames
}

// NewRecent returns an empty Recent.
func NewRecent() *Recent { return &Recent{now: time.Now} }

// Second contains the figures of one second.
type Second struct {
	// Unix is the Unix time of the second.
	Unix int64
	// Frames is the number of frames done, People the maximum number of people in one of them.
	Frames, People int
	busy           [len(CostedStages)]time.Duration
	ran            [len(CostedStages)]int
}

// Stages returns the mean time of each of CostedStages.
func (s *Second) Stages() (mean [len(CostedStages)]time.Duration) {
	for i, n := range s.ran {
		if n > 0 {
			mean[i] = s.busy[i] / time.Duration(n)
		}
	}
	return mean
}

func (s *Second) add(rec *record.Frame) {
	s.Frames++
	s.People = max(s.People, rec.People)
	for i, during := range [len(CostedStages)]vision.Interval{rec.Decode, rec.Detection, rec.Pose, rec.Visualization,
		rec.Encode} {
		if !during.Start.IsZero() {
			s.busy[i] += during.End.Sub(during.Start)
			s.ran[i]++
		}
	}
}

// join adds the figures of another second.
func (s *Second) join(other *Second) {
	s.Frames += other.Frames
	s.People = max(s.People, other.People)
	for i := range s.busy {
		s.busy[i] += other.busy[i]
		s.ran[i] += other.ran[i]
	}
}

// recentFrame is a frame without its detections.
type recentFrame struct {
	span  *VideoSpan
	trace pcommon.TraceID
	rec   record.Frame
}

// add adds the next frame of a video.
func (r *Recent) add(span *VideoSpan, rec *record.Frame, trace pcommon.TraceID) {
	if r == nil {
		return
	}
	unix := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	second := &r.seconds[unix%RecentSeconds]
	if second.Unix != unix {
		*second = Second{Unix: unix}
	}
	second.add(rec)
	frame := &r.frames[r.added%recentFrames]
	frame.span, frame.trace, frame.rec = span, trace, *rec
	frame.rec.Found, frame.rec.Faces, frame.rec.Heads = nil, nil, nil
	r.added++
}

// Seconds returns the last seconds, up to RecentSeconds, without the current one, oldest first.
func (r *Recent) Seconds() []Second {
	now := r.now().Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Second, 0, RecentSeconds)
	for unix := now - RecentSeconds + 1; unix < now; unix++ {
		second := Second{Unix: unix}
		if there := r.seconds[unix%RecentSeconds]; there.Unix == unix {
			second = there
		}
		all = append(all, second)
	}
	return all
}

// Now returns the combined figures of the last few seconds, and the mean rate in frames per second.
func (r *Recent) Now() (second Second, rate float64) {
	now := r.now().Unix()
	second.Unix = now
	r.mu.Lock()
	defer r.mu.Unlock()
	for unix := now - rateSeconds; unix < now; unix++ {
		if there := &r.seconds[unix%RecentSeconds]; there.Unix == unix {
			second.join(there)
		}
	}
	return second, float64(second.Frames) / rateSeconds
}

// FrameTrace is a frame whose spans are available.
type FrameTrace struct {
	// Trace is the trace ID in hex, the same as the exporters have sent.
	Trace string
	// Key is the key of the video.
	Key           string
	Frame, People int
	Start         time.Time
	Duration      time.Duration
	Failed        bool
	frame         recentFrame
	_             struct{}
}

// Frames returns the latest frames of a video, or of all videos if the key is empty, latest first.
func (r *Recent) Frames(key string, most int) (found []FrameTrace) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := r.added - 1; i >= max(0, r.added-recentFrames) && len(found) < most; i-- {
		if f := r.frames[i%recentFrames]; key == "" || f.span.video.Key == key {
			found = append(found, FrameTrace{
				Trace: hex.EncodeToString(f.trace[:]), Key: f.span.video.Key, Frame: f.rec.Index, People: f.rec.People,
				Start: f.rec.Start, Duration: f.rec.End.Sub(f.rec.Start), Failed: f.rec.Err != nil, frame: f,
			})
		}
	}
	return found
}

// Spans returns the spans of the frame as exporters get them, except for the span IDs. The root comes first, and
// parents come before their children.
func (f *FrameTrace) Spans() ptrace.SpanSlice {
	from := f.frame.span
	span := &VideoSpan{emitter: from.emitter, video: from.video, id: from.id}
	ids := newIDs()
	spans := ptrace.NewSpanSlice()
	span.appendTrace(spans, &f.frame.rec, f.frame.trace, &ids)
	spans.At(0).SetParentSpanID(pcommon.SpanID{}) // the parent of a picture's span is not included
	return spans
}

// Active is a video in progress.
type Active struct {
	Key string
	// Done is the number of frames done, including those of earlier attempts. People is the number of people in the latest
	// frame.
	Done, People int
	// Most is the maximum number of people in a frame of this attempt, Masks the number of masks in this attempt.
	Most, Masks int
	Progress    Progress
	Duration    time.Duration
}

// Active returns the videos in progress.
func (e *Emitter) Active() []Active {
	now := e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	active := make([]Active, 0, len(e.active))
	for s := range e.active {
		f := s.all()
		resumed, _ := s.resumedBefore()
		active = append(active, Active{
			Key: s.video.Key, Done: resumed + f.frames, People: f.people, Most: f.most,
			Masks: f.masks, Progress: s.progress(now), Duration: s.video.Duration,
		})
	}
	return active
}

// Join combines the figures of consecutive seconds into one, at the time of the first.
func Join(seconds []Second) Second {
	joined := Second{Unix: seconds[0].Unix}
	for i := range seconds {
		joined.join(&seconds[i])
	}
	return joined
}
