// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/report"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// header is the part of a report before its frames.
type header struct {
	Schema   string           `json:"schema"`
	Created  time.Time        `json:"created"`
	Output   report.File      `json:"output"`
	Settings report.Settings  `json:"settings"`
	Salvage  *struct{}        `json:"salvage"`
	Second   *struct{}        `json:"second_pass"`
	Source   report.File      `json:"source"`
	Revision *report.Revision `json:"revision"`
	Encoding *report.Encoding `json:"encoding"`
	Segments [][2]int         `json:"segments"`
	Summary  struct {
		Frames      int     `json:"frames"`
		Duration    float64 `json:"duration_s"`
		MaskedWhole int     `json:"frames_masked_whole"`
		PeopleMax   int     `json:"people_max"`
		Masks       int     `json:"masks"`
		NobodyFound bool    `json:"nobody_found"`
	} `json:"summary"`
	Weakest []report.Moment `json:"weakest"`
}

// framesKey is the line after which a report has one frame per line.
const framesKey = `  "frames": [`

// maxHeader limits a header, in bytes: one with a hundred moments has 30 KB.
const maxHeader = 4 << 20

// readHeader reads a report up to its frames, and returns the offset at which those begin.
func readHeader(from io.Reader) (h header, begin int64, err error) {
	lines := bufio.NewReaderSize(from, 16<<10)
	var text []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return h, 0, fmt.Errorf("a report without frames: %w", err)
		}
		begin += int64(len(line))
		if bytes.HasPrefix(line, []byte(framesKey)) {
			break
		}
		if text = append(text, line...); len(text) > maxHeader {
			return h, 0, errors.New("a report whose header is too long")
		}
	}
	text = append(bytes.TrimRight(text, ", \r\n"), '}')
	if err := json.Unmarshal(text, &h); err != nil {
		return h, 0, err
	}
	if h.Schema != report.Schema {
		return h, 0, fmt.Errorf("a report with the format %q", h.Schema)
	}
	return h, begin, nil
}

// frameLine is what is read from a frame's line.
type frameLine struct {
	Frame     int        `json:"frame"`
	Time      float64    `json:"time_s"`
	Judged    bool       `json:"judged"`
	Look      string     `json:"look"`
	LookCause string     `json:"look_cause"`
	Whole     bool       `json:"masked_whole"`
	Error     string     `json:"error"`
	Visible   *int       `json:"people_visible"`
	People    []struct{} `json:"people"`
	Masks     []struct {
		Box     [4]int      `json:"box"`
		Score   float64     `json:"score"`
		Origin  mask.Origin `json:"origin"`
		Track   int         `json:"track"`
		Ellipse *[5]float64 `json:"ellipse"`
		Upright bool        `json:"upright"`
	} `json:"masks"`
}

// people returns how many people a frame shows. In older reports, people who are carried over are counted only by their
// masks.
func (f *frameLine) people() int {
	if f.Visible != nil {
		return *f.Visible
	}
	return max(len(f.People), len(f.Masks))
}

// parseFrame parses a line; ok is false if it is not a frame.
func parseFrame(line []byte) (f frameLine, ok bool) {
	text := bytes.TrimSuffix(bytes.TrimSpace(line), []byte(","))
	return f, len(text) > 0 && text[0] == '{' && json.Unmarshal(text, &f) == nil
}

// eachLine calls use for each line of a report from an offset on, with the line's offset, until use returns false.
func eachLine(file io.ReadSeeker, offset int64, use func(line []byte, at int64) bool) error {
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(file, 64<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // a frame with a crowd
			line = bytes.Clone(line)
			var rest []byte
			rest, err = lines.ReadBytes('\n')
			line = append(line, rest...)
		}
		if len(line) > 0 && !use(line, offset) {
			return nil
		}
		offset += int64(len(line))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sumUp reads what a timeline shows from a frame's line; ok is false if it is not a frame. Lines that our own recorder
// wrote are not parsed as JSON, which would take ten times as long.
func sumUp(line []byte) (b bucket, ok bool) {
	time, okTime := numberAfter(line, `"time_s":`)
	people, okPeople := numberAfter(line, `"people_visible":`)
	if !okTime || !okPeople {
		f, ok := parseFrame(line)
		return f.sumUp(), ok
	}
	b = bucket{time: time, people: int(people), score: 1, whole: bytes.Contains(line, []byte(`"masked_whole":true`))}
	if at := bytes.Index(line, []byte(`"masks":[`)); at >= 0 {
		rest := line[at:]
		for {
			score, ok := numberAfter(rest, `"score":`)
			if !ok {
				break
			}
			b.masks, b.score = b.masks+1, min(b.score, score)
			rest = rest[bytes.Index(rest, []byte(`"score":`))+1:]
		}
	}
	return b, true
}

// numberAfter parses the number after the first occurrence of key.
func numberAfter(line []byte, key string) (float64, bool) {
	at := bytes.Index(line, []byte(key))
	if at < 0 {
		return 0, false
	}
	text := line[at+len(key):]
	end := bytes.IndexAny(text, ",}]")
	if end < 0 {
		return 0, false
	}
	n, err := strconv.ParseFloat(string(text[:end]), 64)
	return n, err == nil
}

func (f *frameLine) sumUp() bucket {
	b := bucket{time: f.Time, people: f.people(), masks: len(f.Masks), score: 1, whole: f.Whole}
	for _, m := range f.Masks {
		b.score = min(b.score, m.Score)
	}
	return b
}

const (
	// indexEvery is the number of frames between two offsets in an index.
	indexEvery = 128
	// buckets is the number of parts in which a timeline is kept.
	buckets = 2000
	// keptIndexes is how many indexes of reports are kept: each takes 0.2 MB, plus 64 KB per million frames.
	keptIndexes = 16
)

// index holds the offsets of the frames in a report, and a summary of them.
type index struct {
	stamp    durable.Stamp
	header   header
	offsets  []int64 // of each indexEvery-th frame
	timeline []bucket
	used     time.Time
}

// bucket is a part of a timeline.
type bucket struct {
	first         int
	time          float64
	people, masks int
	score         float64
	whole         bool
}

func (b *bucket) join(other *bucket) {
	b.people, b.masks = max(b.people, other.people), max(b.masks, other.masks)
	b.score, b.whole = min(b.score, other.score), b.whole || other.whole
}

// reports caches what was read from reports: a little of each, and the indexes of the latest.
type reports struct {
	mu      sync.Mutex
	facts   map[string]facts // by path
	indexes map[string]*index
	outputs map[string]seen
	counted map[string]counted
}

// facts are what a list of videos shows from a report.
type facts struct {
	stamp                    durable.Stamp
	ok                       bool // the report could be read
	created                  time.Time
	sha256                   string // of the output
	frames, peopleMax, masks int
	duration                 float64
	warnings                 []consoleapi.Warning
	source                   report.File
	size                     int64            // of the output
	revision                 *report.Revision // nil for the pipeline's output
	exact                    bool             // it contains what correcting masks requires
}

func newReports() *reports {
	return &reports{facts: map[string]facts{}, indexes: map[string]*index{}, outputs: map[string]seen{},
		counted: map[string]counted{}}
}

// factsOf returns what a report says. It reads the report only if it has changed.
func (r *reports) factsOf(path string) facts {
	st, err := durable.StampAt(path)
	if err != nil {
		return facts{}
	}
	r.mu.Lock()
	known, ok := r.facts[path]
	r.mu.Unlock()
	if ok && known.stamp == st {
		return known
	}
	f := facts{stamp: st}
	if file, err := openFile(path); err == nil {
		h, _, err := readHeader(file)
		_ = file.Close()
		if err == nil {
			f = h.facts(st)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.facts[path] = f
	return f
}

func (h *header) facts(st durable.Stamp) facts {
	f := facts{stamp: st, ok: true, created: h.Created, sha256: h.Output.SHA256, frames: h.Summary.Frames,
		peopleMax: h.Summary.PeopleMax, masks: h.Summary.Masks, duration: h.Summary.Duration,
		source: h.Source, size: h.Output.Size, revision: h.Revision, exact: h.Encoding != nil && len(h.Segments) > 0}
	for _, w := range []struct {
		warning consoleapi.Warning
		applies bool
	}{
		{consoleapi.WarningNobodyFound, h.Summary.NobodyFound},
		{consoleapi.WarningMaskedWhole, h.Summary.MaskedWhole > 0},
		{consoleapi.WarningSalvaged, h.Salvage != nil},
		{consoleapi.WarningSecondPass, h.Second != nil},
		{consoleapi.WarningReversibleMask, reversible(h.Settings.Fill)},
	} {
		if w.applies {
			f.warnings = append(f.warnings, w.warning)
		}
	}
	return f
}

// reversible reports whether something of the original picture can be reconstructed from the fill.
func reversible(fill string) bool { return fill == string(mask.Blur) || fill == string(mask.Mosaic) }

// indexOf returns a report's index and the open report, which the caller must close.
func (r *reports) indexOf(path string) (*index, *os.File, error) {
	st, err := durable.StampAt(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: there is no report", consoleapi.ErrNotFound)
	}
	file, err := openFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the report cannot be opened", consoleapi.ErrNotFound)
	}
	r.mu.Lock()
	known := r.indexes[path]
	if known != nil && known.stamp == st {
		known.used = time.Now()
		r.mu.Unlock()
		return known, file, nil
	}
	r.mu.Unlock()
	made, err := makeIndex(file)
	if err != nil {
		_ = file.Close()
		return nil, nil, fmt.Errorf("%w: the report cannot be read", consoleapi.ErrNotFound)
	}
	made.stamp, made.used = st, time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.indexes[path] = made
	r.forgetOldest()
	return made, file, nil
}

func (r *reports) forgetOldest() {
	for len(r.indexes) > keptIndexes {
		oldest := ""
		for path, i := range r.indexes {
			if oldest == "" || i.used.Before(r.indexes[oldest].used) {
				oldest = path
			}
		}
		delete(r.indexes, oldest)
	}
}

func makeIndex(file *os.File) (*index, error) {
	h, begin, err := readHeader(file)
	if err != nil {
		return nil, err
	}
	i := &index{header: h}
	total := max(1, h.Summary.Frames)
	parts := min(buckets, total)
	n := 0
	err = eachLine(file, begin, func(line []byte, at int64) bool {
		b, ok := sumUp(line)
		if !ok {
			return false
		}
		if n%indexEvery == 0 {
			i.offsets = append(i.offsets, at)
		}
		if part := min(n, total-1) * parts / total; part >= len(i.timeline) {
			i.timeline = append(i.timeline, bucket{first: n, time: b.time, score: 1})
		}
		i.timeline[len(i.timeline)-1].join(&b)
		n++
		return true
	})
	i.header.Summary.Frames = n
	return i, err
}

// frames calls use for the frames in [from, to).
func (i *index) frames(file io.ReadSeeker, from, to int, use func(*frameLine)) error {
	return i.lines(file, from, to, func(line []byte) bool {
		f, ok := parseFrame(line)
		if ok {
			use(&f)
		}
		return ok
	})
}

// lines calls use for the lines of the frames in [from, to), as far as they exist, until use returns false.
func (i *index) lines(file io.ReadSeeker, from, to int, use func(line []byte) bool) error {
	to = min(to, i.header.Summary.Frames)
	if from >= to {
		return nil
	}
	n := from / indexEvery * indexEvery
	return eachLine(file, i.offsets[n/indexEvery], func(line []byte, _ int64) bool {
		if n >= from && !use(line) {
			return false
		}
		n++
		return n < to
	})
}

// times returns the times of all frames in seconds.
func (i *index) times(file io.ReadSeeker) ([]float64, error) {
	times := make([]float64, 0, i.header.Summary.Frames)
	if len(i.offsets) == 0 {
		return times, nil
	}
	err := eachLine(file, i.offsets[0], func(line []byte, _ int64) bool {
		b, ok := sumUp(line)
		if ok {
			times = append(times, b.time)
		}
		return ok
	})
	return times, err
}

// parts returns the timeline in at most count parts.
func (i *index) parts(count int) consoleapi.Timeline {
	t := consoleapi.Timeline{
		Frames: i.header.Summary.Frames, Duration: i.header.Summary.Duration, FirstFrame: []int{}, Time: []float64{},
		People: []int{}, Masks: []int{}, Score: []float64{}, Whole: []bool{},
	}
	count = min(count, len(i.timeline))
	for part := range count {
		from, to := part*len(i.timeline)/count, (part+1)*len(i.timeline)/count
		joined := i.timeline[from]
		for k := from + 1; k < to; k++ {
			joined.join(&i.timeline[k])
		}
		t.FirstFrame, t.Time = append(t.FirstFrame, joined.first), append(t.Time, joined.time)
		t.People, t.Masks = append(t.People, joined.people), append(t.Masks, joined.masks)
		t.Score, t.Whole = append(t.Score, joined.score), append(t.Whole, joined.whole)
	}
	return t
}

// intact returns an error unless an output is what was published, judging by its size and samples of its content. It
// reads the content once for each change of the file.
func (r *reports) intact(o *watch.Output) error {
	st, err := durable.StampAt(o.Path)
	if err != nil {
		return err
	}
	r.mu.Lock()
	known, ok := r.outputs[o.Path]
	r.mu.Unlock()
	if ok && known.stamp == st {
		return known.err
	}
	known = seen{st, o.Intact()}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outputs[o.Path] = known
	return known.err
}

// seen is a cached result of intact.
type seen struct {
	stamp durable.Stamp
	err   error
}
