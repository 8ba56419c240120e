// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package share

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// VideoState is how far a video is:
//
//	found → planned → joining → publishing → done | failed | gone
//
// A video is found anew when its source changes. It goes back to planned when units must be done again.
type VideoState string

// The states of videos. The last three are final.
const (
	// VideoFound waits to be divided into units.
	VideoFound VideoState = "found"
	// VideoPlanned has units.
	VideoPlanned VideoState = "planned"
	// VideoJoining has units that are all done, and a worker that makes the output of them.
	VideoJoining VideoState = "joining"
	// VideoPublishing has a whole output, whose digest is recorded, under a hidden name.
	VideoPublishing VideoState = "publishing"
	// VideoDone has its output under its final name.
	VideoDone VideoState = "done"
	// VideoFailed cannot be anonymized; Error says why.
	VideoFailed VideoState = "failed"
	// VideoGone has lost its source before it was done.
	VideoGone VideoState = "gone"
)

func (s VideoState) final() bool { return s == VideoDone || s == VideoFailed || s == VideoGone }

// UnitState is how far a unit is: open → claimed, and sealed segment by segment → done | failed.
type UnitState string

// The states of units. The last two are final.
const (
	UnitOpen    UnitState = "open"
	UnitClaimed UnitState = "claimed"
	UnitDone    UnitState = "done"
	UnitFailed  UnitState = "failed"
)

// Version identifies the content of a source.
type Version struct {
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`
	Digest  string    `json:"digest,omitempty"`
}

func (v Version) equal(o Version) bool {
	return v.Size == o.Size && v.ModTime.Equal(o.ModTime) && v.Digest == o.Digest
}

// sameContent is equal whatever the times are. Without a digest nothing is known of the content.
func (v Version) sameContent(o Version) bool {
	return v.Size == o.Size && v.Digest == o.Digest && v.Digest != ""
}

// Claim says who works on something.
type Claim struct {
	// Worker is one run of the program on a machine.
	Worker  string    `json:"worker"`
	Machine string    `json:"machine"`
	Since   time.Time `json:"since"`
	// Epoch is the revision of the record with which the claim began; 0 in that record itself.
	Epoch uint64 `json:"epoch,omitempty"`
}

// Loss is a worker that died with the work in hand, as far as the others can tell.
type Loss struct {
	Worker  string `json:"worker"`
	Machine string `json:"machine"`
}

// holding is the part of a record that says who works on it.
type holding struct {
	Claim *Claim `json:"claim,omitempty"`
	// Lost are the claims that were taken over.
	Lost []Loss `json:"lost,omitempty"`
	// Attempts are those that failed with an error that may pass.
	Attempts int `json:"attempts,omitempty"`
	// Error is that of the last attempt, and Reason the same in a word, see Options.Reason.
	Error  string `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Wait is how long nobody takes it up.
	Wait time.Duration `json:"wait,omitempty"`
	// Writer is different in each record that is written, so that a worker can tell its own.
	Writer string `json:"writer"`
	// takeover says that the claim, which has not been written yet, is in place of another worker's.
	takeover bool
}

// Video is the record of a video.
type Video struct {
	// Path is that of the source, below the root, with slashes.
	Path    string     `json:"path"`
	Version Version    `json:"version"`
	State   VideoState `json:"state"`
	// Found and Since are when the video was found, and when it got its state: information only.
	Found time.Time `json:"found"`
	Since time.Time `json:"since"`
	// Trace is a W3C trace parent, made when the video was found.
	Trace string `json:"trace,omitempty"`
	// Made is the identity of what planned the video: workers of another leave it alone.
	Made string `json:"made,omitempty"`
	// Plan is the epoch of the claim that divided the video, and Units into how many.
	Plan  uint64 `json:"plan,omitempty"`
	Units int    `json:"units,omitempty"`
	// Shared is what the plan says for all units.
	Shared json.RawMessage `json:"shared,omitempty"`
	// Outputs are published, in this order.
	Outputs []Output `json:"outputs,omitempty"`
	// Published are all outputs of this version that were ever about to be published.
	Published []Output `json:"published,omitempty"`
	// Earlier are those of earlier versions, the last mostEarlier: no sources, either.
	Earlier []Output `json:"earlier,omitempty"`
	// Result is what the join says of the outputs.
	Result json.RawMessage `json:"result,omitempty"`
	// Deferred counts how often the worker asked to be called later, once the outputs had their final names.
	Deferred int `json:"deferred,omitempty"`
	// Redone counts how often units had to be done again.
	Redone int `json:"redone,omitempty"`
	holding
}

// Output is a file that a video yields.
type Output struct {
	// Name is its final name and Temp its hidden one, both below the root, with slashes.
	Name string `json:"name"`
	Temp string `json:"temp"`
	// Size and SHA256, in hex, are those of the content.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Unit is the record of a unit.
type Unit struct {
	Index int             `json:"index"`
	Spec  json.RawMessage `json:"spec,omitempty"`
	State UnitState       `json:"state"`
	Since time.Time       `json:"since"`
	// Sealed are the segments that are safely on disk, in order, from any epoch.
	Sealed []Segment `json:"sealed,omitempty"`
	// Edges is what a neighbor or the join compares.
	Edges json.RawMessage `json:"edges,omitempty"`
	holding
}

// Segment is a part of a unit that need not be done again.
type Segment struct {
	Files []File `json:"files"`
	// Note is what the worker needs to go on after it.
	Note json.RawMessage `json:"note,omitempty"`
}

// File is a file of a unit.
type File struct {
	// Name is its name in the folder of the video, with the unit and the epoch that made it.
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Machine is the record of a worker: one run of the program on a machine. It is rewritten at every heartbeat.
type Machine struct {
	Name string `json:"name"`
	// Made is the identity of what it runs.
	Made  string    `json:"made"`
	Since time.Time `json:"since"`
	Slots int       `json:"slots"`
	// Lease is the one of its configuration.
	Lease time.Duration `json:"lease"`
	// Doing are the keys of what it does.
	Doing []string `json:"doing,omitempty"`
	// Draining means that it takes nothing more, and Left that it has stopped.
	Draining bool `json:"draining,omitempty"`
	Left     bool `json:"left,omitempty"`
	// Problem is why it takes nothing, if so.
	Problem string `json:"problem,omitempty"`
	Beat    uint64 `json:"beat"`
}

// The kinds of records, which are the first part of their keys.
const (
	kindVideo      = "video"
	kindUnit       = "unit"
	kindWorker     = "worker"
	kindDrain      = "drain"
	keyCoordinator = "coordinator"
	keyScanned     = "scanned"
	keyReady       = "ready"
	keyBorn        = "born"
)

// videoID names a video in keys and files.
func videoID(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:10])
}

func videoKey(id string) string { return kindVideo + "." + id }

func unitKey(id string, plan uint64, index int) string {
	return fmt.Sprintf("%s.%s.%d.%d", kindUnit, id, plan, index)
}

// planOf splits the key of a unit.
func planOf(key string) (p plan, index int, ok bool) {
	parts := strings.Split(key, ".")
	if len(parts) != 4 || parts[0] != kindUnit {
		return plan{}, 0, false
	}
	epoch, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return plan{}, 0, false
	}
	index, err = strconv.Atoi(parts[3])
	return plan{parts[1], epoch}, index, err == nil
}

// plan identifies a division of a video into units.
type plan struct {
	video string
	epoch uint64
}

func (p plan) keys() string { return fmt.Sprintf("%s.%s.%d.>", kindUnit, p.video, p.epoch) }

// entry is a record and its revision.
type entry[T any] struct {
	key string
	rev uint64
	rec T
}

// epochOf is the revision at which the claim began that is in a record of the given revision.
func (h *holding) epochOf(rev uint64) uint64 {
	if h.Claim == nil {
		return 0
	}
	if h.Claim.Epoch > 0 {
		return h.Claim.Epoch
	}
	return rev
}

// release ends the claim.
func (h *holding) release() { h.Claim = nil }

// held makes the record say of its claim when it began, which the record that began it cannot.
func (h *holding) held(rev uint64) {
	if h.Claim != nil && h.Claim.Epoch == 0 {
		claim := *h.Claim
		claim.Epoch = rev
		h.Claim = &claim
	}
}

// lose notes that the worker of the claim died.
func (h *holding) lose() {
	h.Lost = append(slices.Clone(h.Lost), Loss{h.Claim.Worker, h.Claim.Machine})
}

// knows reports whether the video was ever about to publish this content under this name.
func (v *Video) knows(name, sum string) bool {
	return slices.ContainsFunc(v.Published, func(o Output) bool { return o.Name == name && o.SHA256 == sum })
}

// mostEarlier bounds Video.Earlier, and so the record.
const mostEarlier = 256

// everPublished returns the last outputs of all versions.
func (v *Video) everPublished() []Output {
	all := slices.Concat(v.Earlier, v.Published)
	return all[max(0, len(all)-mostEarlier):]
}

// restart makes the video found again.
func (v *Video) restart() {
	v.State, v.Made, v.Plan, v.Units, v.Shared, v.Outputs, v.Result = VideoFound, "", 0, 0, nil, nil, nil
	v.Deferred = 0
	v.release()
}
