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

// VideoState is the progress of a video:
//
//	found → planned → joining → publishing → done | failed | gone
//
// A video is found again when its source changes. It goes back to planned when units must be redone.
type VideoState string

// The states of videos. The last three are final.
const (
	// VideoFound means that the video waits to be divided into units.
	VideoFound VideoState = "found"
	// VideoPlanned means that the video has units.
	VideoPlanned VideoState = "planned"
	// VideoJoining means that all units are done, and that a worker makes the outputs from them.
	VideoJoining VideoState = "joining"
	// VideoPublishing means that the outputs are complete, with recorded digests, under hidden names.
	VideoPublishing VideoState = "publishing"
	// VideoDone means that the outputs have their final names.
	VideoDone VideoState = "done"
	// VideoFailed means that the video cannot be anonymized; Error says why.
	VideoFailed VideoState = "failed"
	// VideoGone means that the source vanished before the video was done.
	VideoGone VideoState = "gone"
)

func (s VideoState) final() bool { return s == VideoDone || s == VideoFailed || s == VideoGone }

// UnitState is the progress of a unit: open → claimed, and sealed segment by segment → done | failed.
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

// sameContent compares versions regardless of their times. Without a digest, nothing is known about the content.
func (v Version) sameContent(o Version) bool {
	return v.Size == o.Size && v.Digest == o.Digest && v.Digest != ""
}

// Claim says who works on a record.
type Claim struct {
	// Worker identifies one run of the program on a machine.
	Worker  string    `json:"worker"`
	Machine string    `json:"machine"`
	Since   time.Time `json:"since"`
	// Epoch is the revision of the record that began the claim; 0 in that record itself.
	Epoch uint64 `json:"epoch,omitempty"`
}

// Loss is a worker that died while it held a claim, as far as the others can tell.
type Loss struct {
	Worker  string `json:"worker"`
	Machine string `json:"machine"`
}

// holding is the part of a record that says who works on it.
type holding struct {
	Claim *Claim `json:"claim,omitempty"`
	// Lost are the workers that died while they held a claim.
	Lost []Loss `json:"lost,omitempty"`
	// Attempts counts failed attempts, as far as settle says that they count.
	Attempts int `json:"attempts,omitempty"`
	// Error is the error of the last attempt, and Reason a word for it; see Options.Reason.
	Error  string `json:"error,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Wait is how long no machine may claim the record.
	Wait time.Duration `json:"wait,omitempty"`
	// Writer is different in each record that is written, so that a worker recognizes its own.
	Writer string `json:"writer"`
	// takeover means that the claim, which has not been written yet, replaces another worker's.
	takeover bool
}

// Video is the record of a video.
type Video struct {
	// Path is the path of the source below root, with slashes.
	Path    string     `json:"path"`
	Version Version    `json:"version"`
	State   VideoState `json:"state"`
	// Found is when the video was found, which decides its turn. Since is when it got its state, for information only.
	Found time.Time `json:"found"`
	Since time.Time `json:"since"`
	// Trace is a W3C trace parent, made when the video was found.
	Trace string `json:"trace,omitempty"`
	// Made is the identity of the machine that planned the video: machines of another identity leave it alone.
	Made string `json:"made,omitempty"`
	// Plan is the epoch of the claim that divided the video, and Units the number of units.
	Plan  uint64 `json:"plan,omitempty"`
	Units int    `json:"units,omitempty"`
	// Shared is the part of the plan that applies to all units.
	Shared json.RawMessage `json:"shared,omitempty"`
	// Outputs are the files to publish, in this order.
	Outputs []Output `json:"outputs,omitempty"`
	// Published are all outputs of this version that were ever about to be published.
	Published []Output `json:"published,omitempty"`
	// Earlier are the outputs of earlier versions, the last mostEarlier of them, which are not sources, either.
	Earlier []Output `json:"earlier,omitempty"`
	// Result is what the join says about the outputs.
	Result json.RawMessage `json:"result,omitempty"`
	// Deferred counts how often the worker asked to be called later, after the outputs got their final names.
	Deferred int `json:"deferred,omitempty"`
	// Redone counts how often units had to be redone.
	Redone int `json:"redone,omitempty"`
	holding
}

// Output is a file made from a video.
type Output struct {
	// Name is the final name and Temp the hidden one, both below root, with slashes.
	Name string `json:"name"`
	Temp string `json:"temp"`
	// Size and SHA256, in hex, describe the content.
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

// Segment is a sealed part of a unit, which need not be done again.
type Segment struct {
	Files []File `json:"files"`
	// Note is what the worker needs to continue after the segment.
	Note json.RawMessage `json:"note,omitempty"`
}

// File is a file of a unit.
type File struct {
	// Name is the name in the folder of the video. It contains the unit and the epoch that made the file.
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Machine is the record of a worker: one run of the program on a machine. It is rewritten at every heartbeat.
type Machine struct {
	Name string `json:"name"`
	// Made is the identity of the program, its models and its configuration.
	Made  string    `json:"made"`
	Since time.Time `json:"since"`
	Slots int       `json:"slots"`
	// Lease is the lease in the machine's configuration.
	Lease time.Duration `json:"lease"`
	// Doing are the keys of the records that the machine works on.
	Doing []string `json:"doing,omitempty"`
	// Draining means that the machine takes no more work, and Left that it has stopped.
	Draining bool `json:"draining,omitempty"`
	Left     bool `json:"left,omitempty"`
	// Problem is why the machine takes no work, if there is a problem.
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

// videoID returns the name of a video in keys and files.
func videoID(path string) string {
	sum := sha256.Sum256([]byte(path))
	return hex.EncodeToString(sum[:10])
}

func videoKey(id string) string { return kindVideo + "." + id }

func unitKey(id string, plan uint64, index int) string {
	return fmt.Sprintf("%s.%s.%d.%d", kindUnit, id, plan, index)
}

// planOf parses the key of a unit.
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

// epochOf returns the revision at which the claim began, given the record's revision.
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

// held adds to the claim when it began, which the record that began it cannot contain.
func (h *holding) held(rev uint64) {
	if h.Claim != nil && h.Claim.Epoch == 0 {
		claim := *h.Claim
		claim.Epoch = rev
		h.Claim = &claim
	}
}

// lose notes that the worker that holds the claim died.
func (h *holding) lose() {
	h.Lost = append(slices.Clone(h.Lost), Loss{h.Claim.Worker, h.Claim.Machine})
}

// knows reports whether the video was ever about to publish this content under this name.
func (v *Video) knows(name, sum string) bool {
	return slices.ContainsFunc(v.Published, func(o Output) bool { return o.Name == name && o.SHA256 == sum })
}

// mostEarlier limits Video.Earlier, and so the size of the record.
const mostEarlier = 256

// everPublished returns the last mostEarlier outputs of all versions.
func (v *Video) everPublished() []Output {
	all := slices.Concat(v.Earlier, v.Published)
	return all[max(0, len(all)-mostEarlier):]
}

// restart resets the video to VideoFound.
func (v *Video) restart() {
	v.State, v.Made, v.Plan, v.Units, v.Shared, v.Outputs, v.Result = VideoFound, "", 0, 0, nil, nil, nil
	v.Deferred = 0
	v.release()
}
