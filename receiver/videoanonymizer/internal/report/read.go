// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/mask"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/record"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/vision"
)

// frameText is a frame as written by appendFrame.
type frameText struct {
	Frame     int             `json:"frame"`
	Time      float64         `json:"time_s"`
	Judged    bool            `json:"judged"`
	Look      record.Look     `json:"look"`
	LookCause record.Cause    `json:"look_cause"`
	Visible   *int            `json:"people_visible"`
	Whole     bool            `json:"masked_whole"`
	Reason    string          `json:"error"`
	People    []detectionText `json:"people"`
	Faces     []detectionText `json:"faces"`
	Masks     []maskText      `json:"masks"`
	Bodies    []bodyText      `json:"silhouettes"`
}

type detectionText struct {
	Box       [4]float32 `json:"box"`
	Score     float32    `json:"score"`
	Candidate bool       `json:"candidate"`
}

func (d *detectionText) detection() vision.Detection {
	return vision.Detection{Box: boxOf(d.Box), Score: d.Score, Candidate: d.Candidate}
}

type maskText struct {
	Box     [4]float32  `json:"box"`
	Score   float32     `json:"score"`
	Origin  mask.Origin `json:"origin"`
	Track   int         `json:"track"`
	Ellipse *[5]float32 `json:"ellipse"`
	Upright bool        `json:"upright"`
}

type bodyText struct {
	Box   [4]float32 `json:"box"`
	Track int        `json:"track"`
	Cells [2]int     `json:"cells"`
	Runs  []byte     `json:"runs"`
}

func boxOf(b [4]float32) vision.Box { return vision.Box{X0: b[0], Y0: b[1], X1: b[2], Y1: b[3]} }

// ParseFrame parses a line of the frames in a report, with or without the trailing comma. The PTS of the frame is
// relative to the first frame. In older reports, which have no ellipses, masks are upright boxes.
func ParseFrame(line []byte) (*record.Frame, error) {
	var f frameText
	if err := json.Unmarshal(bytes.TrimSuffix(bytes.TrimSpace(line), []byte(",")), &f); err != nil {
		return nil, err
	}
	rec := &record.Frame{
		Index: f.Frame, PTS: time.Duration(math.Round(f.Time*1000)) * time.Millisecond, Analyzed: f.Judged, Look: f.Look,
		LookCause: f.LookCause, WholeFrameMasked: f.Whole, Reason: f.Reason, Masks: len(f.Masks),
	}
	if f.Visible != nil {
		rec.People = *f.Visible
	}
	for _, p := range f.People {
		rec.Found = append(rec.Found, vision.Person{Detection: p.detection()})
	}
	for _, p := range f.Faces {
		rec.Faces = append(rec.Faces, vision.Face{Box: boxOf(p.Box), Score: p.Score})
	}
	for _, m := range f.Masks {
		rec.Heads = append(rec.Heads, m.head())
	}
	for _, b := range f.Bodies {
		body, err := b.body()
		if err != nil {
			return nil, err
		}
		rec.Bodies = append(rec.Bodies, body)
	}
	return rec, nil
}

func (m *maskText) head() mask.Head {
	h := mask.Head{Box: m.Upright, Score: m.Score, Origin: m.Origin, Track: m.Track}
	if e := m.Ellipse; e != nil {
		h.X, h.Y, h.RX, h.RY, h.Angle = e[0], e[1], e[2], e[3], e[4]
		return h
	}
	h.X, h.Y, h.RX, h.RY = (m.Box[0]+m.Box[2])/2, (m.Box[1]+m.Box[3])/2, (m.Box[2]-m.Box[0])/2, (m.Box[3]-m.Box[1])/2
	h.Box = true
	return h
}

func (b *bodyText) body() (mask.Body, error) {
	if b.Cells == [2]int{} {
		return mask.NewBody(boxOf(b.Box), b.Track, nil), nil
	}
	cells, err := cellsOf(b.Cells[0], b.Cells[1], b.Runs)
	return mask.NewBody(boxOf(b.Box), b.Track, cells), err
}

// Report is a report read from a file.
type Report struct {
	Schema  string    `json:"schema"`
	Created time.Time `json:"created"`
	About
	Summary struct {
		Frames      int     `json:"frames"`
		Duration    float64 `json:"duration_s"`
		MaskedWhole int     `json:"frames_masked_whole"`
		PeopleMax   int     `json:"people_max"`
		Masks       int     `json:"masks"`
		NobodyFound bool    `json:"nobody_found"`
	} `json:"summary"`

	path  string
	begin int64 // offset of the first frame's line
}

// framesKey is the prefix of the line that is followed by one line per frame.
var framesKey = []byte(`  "frames": [`)

// maxHeader limits the bytes of a header. A header with a hundred moments has 30 KB, one with a million segments 20 MB.
const maxHeader = 64 << 20

// Read reads a report up to its frames. It fails like durable.Open, or if the file is not a report.
func Read(path string) (*Report, error) {
	file, err := durable.Open(path, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer file.Close()
	r := &Report{path: path}
	var text []byte
	for lines := bufio.NewReaderSize(file, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil || len(text) > maxHeader {
			return nil, fmt.Errorf("report: %s: it is not a report: it has no frames", path)
		}
		r.begin += int64(len(line))
		if bytes.HasPrefix(line, framesKey) {
			break
		}
		text = append(text, line...)
	}
	text = append(bytes.TrimRight(text, ", \r\n"), '}')
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("report: %s: %w", path, err)
	}
	if r.Schema != Schema {
		return nil, fmt.Errorf("report: %s: it has the format %q: only %s can be read", path, r.Schema, Schema)
	}
	return r, nil
}

// Frames calls use for the frames from <= i < to, in order.
func (r *Report) Frames(from, to int, use func(*record.Frame) error) error {
	file, err := durable.Open(r.path, os.O_RDONLY)
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	defer file.Close()
	if _, err := file.Seek(r.begin, io.SeekStart); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	lines := bufio.NewReaderSize(file, 64<<10)
	for n := range min(to, r.Summary.Frames) {
		line, err := lines.ReadBytes('\n')
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return fmt.Errorf("report: %s: frame %d: %w", r.path, n, err)
		}
		if n < from {
			continue
		}
		rec, err := ParseFrame(line)
		if err != nil {
			return fmt.Errorf("report: %s: frame %d: %w", r.path, n, err)
		}
		if rec.Index != n {
			return fmt.Errorf("report: %s: frame %d is where frame %d should be", r.path, rec.Index, n)
		}
		if err := use(rec); err != nil {
			return err
		}
	}
	return nil
}

// Exact reports whether the report contains what is needed to render the video again: the track of each mask, its exact
// shape, the segments of the output, and how it was encoded. Older reports lack that.
func (r *Report) Exact() bool { return r.Encoding != nil && len(r.Segments) > 0 }
