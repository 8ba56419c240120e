// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"encoding/hex"
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
)

// Progress is what a recorder has made durable, from which another one can resume.
type Progress struct {
	// Bytes is the length of the recorder's file.
	Bytes int64 `json:"bytes"`
	// SHA256 is the digest of these bytes, in hex.
	SHA256 string `json:"sha256"`
	// First is the presentation time of the first frame.
	First time.Duration `json:"first"`
	// PeopleMax is the most people in one frame, which is not in the file.
	PeopleMax int `json:"people_max"`
}

// Seal makes all frames so far durable.
func (r *Recorder) Seal() (Progress, error) {
	err := r.buffered.Flush()
	if err == nil {
		err = durable.Sync(r.file)
	}
	var size int64
	if err == nil {
		size, err = r.file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return Progress{}, fmt.Errorf("report: %w", err)
	}
	sum := hex.EncodeToString(r.hash.Sum(nil))
	return Progress{Bytes: size, SHA256: sum, First: r.first, PeopleMax: r.summary.PeopleMax}, nil
}

// ResumeRecorder continues the file at temp after what was sealed. It finds the moments again from the masks in the
// file, which are upright boxes there.
func ResumeRecorder(temp string, p Progress) (*Recorder, error) {
	file, err := durable.Open(temp, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := newRecorder(file)
	r.first = p.First
	if err := r.replay(p); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("report: %s: %w", temp, err)
	}
	return r, nil
}

// replay counts the frames in the file and truncates what was not sealed.
func (r *Recorder) replay(p Progress) error {
	stat, err := r.file.Stat()
	if err != nil {
		return err
	}
	if stat.Size() < p.Bytes {
		return errors.New("the file is shorter than what was sealed")
	}
	if err := r.file.Truncate(p.Bytes); err != nil {
		return err
	}
	lines := bufio.NewReaderSize(io.TeeReader(r.file, r.hash), 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			rec, err := parseFrame(bytes.TrimSuffix(bytes.TrimSpace(line), []byte(",")), p.First)
			if err != nil {
				return err
			}
			r.count(rec)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if hex.EncodeToString(r.hash.Sum(nil)) != p.SHA256 {
		return errors.New("the file is not as it was sealed")
	}
	r.summary.PeopleMax = max(r.summary.PeopleMax, p.PeopleMax)
	_, err = r.file.Seek(0, io.SeekEnd)
	return err
}

// parseFrame reads what replay needs from a line that appendFrame wrote.
func parseFrame(line []byte, first time.Duration) (*record.Frame, error) {
	var f struct {
		Frame    int         `json:"frame"`
		Time     float64     `json:"time_s"`
		Analyzed bool        `json:"judged"`
		Look     record.Look `json:"look"`
		Whole    bool        `json:"masked_whole"`
		Masks    []struct {
			Box    [4]float32  `json:"box"`
			Score  float32     `json:"score"`
			Origin mask.Origin `json:"origin"`
		} `json:"masks"`
	}
	if err := json.Unmarshal(line, &f); err != nil {
		return nil, err
	}
	rec := &record.Frame{
		Index: f.Frame, PTS: first + time.Duration(math.Round(f.Time*1000))*time.Millisecond, Analyzed: f.Analyzed,
		Look: f.Look, WholeFrameMasked: f.Whole,
	}
	for _, m := range f.Masks {
		rec.Heads = append(rec.Heads, mask.Head{
			X: (m.Box[0] + m.Box[2]) / 2, Y: (m.Box[1] + m.Box[3]) / 2, RX: (m.Box[2] - m.Box[0]) / 2,
			RY:  (m.Box[3] - m.Box[1]) / 2,
			Box: true, Score: m.Score, Origin: m.Origin,
		})
	}
	return rec, nil
}
