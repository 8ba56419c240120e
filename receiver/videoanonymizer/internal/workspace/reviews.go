// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package workspace

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/extension/consoleapi"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/durable"
	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/watch"
)

// review is the state of the review of an output. It is on disk before a request that changed it is answered.
type review struct {
	// Output is the path below the output directory.
	Output  string    `json:"output"`
	Started time.Time `json:"started,omitzero"`
	// Ranges of frames that were watched: half-open, sorted, with gaps between them.
	Ranges [][2]int `json:"ranges,omitempty"`
	// Seen maps the ID of each moment that was seen to who saw it first.
	Seen     map[string]string `json:"seen,omitempty"`
	Decision *decision         `json:"decision,omitempty"`
	Look     look              `json:"second_look,omitzero"`
}

// decision is what a reviewer decided, and on which files.
type decision struct {
	consoleapi.Decision
	OutputSHA256 string `json:"output_sha256"`
	ReportSHA256 string `json:"report_sha256,omitempty"`
	// EditsSHA256 is the hash of the corrections in the output, if there are any.
	EditsSHA256 string        `json:"edits_sha256,omitempty"`
	OutputStamp durable.Stamp `json:"output_stamp"`
	ReportStamp durable.Stamp `json:"report_stamp,omitzero"`
}

// look is the outcome of a second look.
type look struct {
	State  string              `json:"state,omitempty"` // done or failed
	Frames int                 `json:"frames,omitempty"`
	Found  []consoleapi.Moment `json:"found,omitempty"`
}

// share returns the share of the frames that was watched.
func (r *review) share(frames int) float64 {
	watched := 0
	for _, x := range r.Ranges {
		watched += min(x[1], frames) - min(x[0], frames)
	}
	if frames == 0 {
		return 0
	}
	return float64(watched) / float64(frames)
}

// maxRanges limits the ranges of a review; further ones count as not watched.
const maxRanges = 10_000

// watch adds ranges of frames, cut off at the number of frames.
func (r *review) watch(add [][2]int, frames int) {
	all := slices.Clone(r.Ranges)
	for _, x := range add {
		if x[1] = min(x[1], frames); x[0] < x[1] {
			all = append(all, x)
		}
	}
	slices.SortFunc(all, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	joined := all[:0]
	for _, x := range all {
		if last := len(joined) - 1; last >= 0 && x[0] <= joined[last][1] {
			joined[last][1] = max(joined[last][1], x[1])
		} else {
			joined = append(joined, x)
		}
	}
	r.Ranges = joined[:min(len(joined), maxRanges)]
}

// clone returns a copy that shares nothing that changes.
func (r review) clone() review {
	r.Ranges, r.Seen = slices.Clone(r.Ranges), maps.Clone(r.Seen)
	if r.Decision != nil {
		d := *r.Decision
		r.Decision = &d
	}
	return r
}

// reviews holds the reviews, each in a file named after its output and that output's content.
type reviews struct {
	directory string

	mu     sync.Mutex
	byName map[string]*entry
}

type entry struct {
	mu     sync.Mutex // held while it is changed
	review review
}

func openReviews(directory string) (*reviews, error) {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &reviews{directory: directory, byName: map[string]*entry{}}, nil
}

// keyOf returns the name of the review of an output.
func keyOf(o *watch.Output) string {
	sum := sha256.Sum256([]byte(o.Name + "\x00" + o.Digest))
	return hex.EncodeToString(sum[:16])
}

// entry returns the entry of an output, which it reads from disk the first time. A file that cannot be read counts as
// no review: the output has to be reviewed again.
func (r *reviews) entry(o *watch.Output) *entry {
	key := keyOf(o)
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byName[key]
	if e == nil {
		e = &entry{}
		if text, err := durable.ReadFile(r.path(key)); err == nil {
			if json.Unmarshal(text, &e.review) != nil {
				e.review = review{}
			}
		}
		r.byName[key] = e
	}
	return e
}

func (r *reviews) path(key string) string { return filepath.Join(r.directory, key+".json") }

// get returns the review of an output.
func (r *reviews) get(o *watch.Output) review {
	e := r.entry(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.review.clone()
}

// change changes the review of an output, and writes it to disk before it takes effect.
func (r *reviews) change(o *watch.Output, by func(*review) error) (review, error) {
	e := r.entry(o)
	e.mu.Lock()
	defer e.mu.Unlock()
	changed := e.review.clone()
	changed.Output = o.Name
	if err := by(&changed); err != nil {
		return e.review.clone(), err
	}
	text, err := json.Marshal(changed)
	if err == nil {
		err = durable.ReplaceFile(r.path(keyOf(o)), append(text, '\n'), durable.Private)
	}
	if err != nil {
		return e.review.clone(), fmt.Errorf("the review cannot be saved: %w", err)
	}
	e.review = changed
	return changed.clone(), nil
}
