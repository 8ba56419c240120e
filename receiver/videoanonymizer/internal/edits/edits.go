// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

// Package edits implements the corrections that reviewers make to the masks of an output: a document (see
// edits.schema.json) to which operations are only ever added, and the resulting masks of each frame.
//
//	document, err := edits.Parse(text)
//	live := document.Live()
//	masks := live.Apply(frame) // what is to be painted
package edits

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Schema identifies the format of edits.
const Schema = "otelcol-anonymizer/edits/v1"

// Path returns the path of the edits of an output.
func Path(output string) string { return output + ".edits.json" }

// Document holds the edits of a video.
type Document struct {
	Schema string `json:"schema"`
	// Source identifies the video that the output was made from.
	Source Source `json:"source"`
	// BasedOn identifies the output of the pipeline.
	BasedOn Base `json:"based_on"`
	// Operations are in the order in which they were made. None is ever changed or removed.
	Operations []Operation `json:"operations"`
}

// Source identifies a source.
type Source struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
	Frames int    `json:"frames"`
}

// Base identifies a revision.
type Base struct {
	Revision     string `json:"revision"`
	OutputSHA256 string `json:"output_sha256"`
	ReportSHA256 string `json:"report_sha256"`
}

// Type is a kind of operation.
type Type string

// The types.
const (
	// Add draws a mask.
	Add Type = "add"
	// Adjust moves, resizes or turns the masks of a track.
	Adjust Type = "adjust"
	// Remove removes the masks of a track.
	Remove Type = "remove"
	// WholeFrame masks whole frames.
	WholeFrame Type = "whole_frame"
	// Revert undoes an operation.
	Revert Type = "revert"
	// Confirm records that a second person agrees with an operation that uncovers.
	Confirm Type = "confirm"
)

// Reasons are the reasons to uncover something. ReasonOther needs a note.
var Reasons = []string{"not_a_head", "picture", "consent", ReasonOther}

// ReasonOther is a reason that the note explains.
const ReasonOther = "other"

// Operation is a correction. Its type determines which fields it has. Ranges of frames are half-open. Positions and
// sizes are in pixels, angles in radians, clockwise.
type Operation struct {
	// ID is the number of the operation, from 1 on.
	ID   int  `json:"id"`
	Type Type `json:"type"`
	// Shape and Keyframes belong to Add.
	Shape     Shape      `json:"shape,omitempty"`
	Keyframes []Keyframe `json:"keyframes,omitempty"`
	// Track belongs to Adjust and Remove. From and To belong to these and to WholeFrame.
	Track int `json:"track,omitempty"`
	From  int `json:"from,omitempty"`
	To    int `json:"to,omitempty"`
	// DX, DY, ScaleRX, ScaleRY and Rotate belong to Adjust. A scale of 0 means 1.
	DX      float64 `json:"dx,omitempty"`
	DY      float64 `json:"dy,omitempty"`
	ScaleRX float64 `json:"scale_rx,omitempty"`
	ScaleRY float64 `json:"scale_ry,omitempty"`
	Rotate  float64 `json:"rotate,omitempty"`
	// Of is the operation that Revert undoes, or that Confirm agrees with.
	Of int `json:"of,omitempty"`
	// Reason is required where something is uncovered. Remove always requires one.
	Reason string `json:"reason,omitempty"`
	Note   string `json:"note,omitempty"`
	// By, Role and At are set by the server.
	By   string    `json:"by,omitempty"`
	Role string    `json:"role,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// Shape is the outline of a drawn mask.
type Shape string

// The shapes. A rectangle is upright, whatever the angle: it is the bounding box of the ellipse.
const (
	Ellipse   Shape = "ellipse"
	Rectangle Shape = "rectangle"
)

// Keyframe is the position and size of a mask in a frame. Between two keyframes, all values change linearly with the
// frame number. The last one applies up to the end of the video, unless it is outside.
type Keyframe struct {
	Frame int `json:"frame"`
	// Time is in seconds after the first frame, as in the report, to detect a wrong frame.
	Time float64 `json:"time_s"`
	// Outside means that the mask has ended before this frame.
	Outside bool    `json:"outside,omitempty"`
	X       float64 `json:"x"`
	Y       float64 `json:"y"`
	RX      float64 `json:"rx"`
	RY      float64 `json:"ry"`
	Angle   float64 `json:"angle"`
}

const (
	// MaxOperations is the maximum number of operations of a video.
	MaxOperations = 100_000
	// MaxKeyframes is the maximum number of keyframes of an operation.
	MaxKeyframes = 10_000
	// maxText is the maximum size of a document, and maxNote that of a note, in bytes.
	maxText, maxNote = 256 << 20, 2000
)

// Parse reads a document and validates everything that does not depend on the video.
func Parse(text []byte) (*Document, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("edits: larger than %d bytes", maxText)
	}
	d := &Document{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(d); err != nil {
		return nil, fmt.Errorf("edits: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("edits: the file holds more than one value")
	}
	if d.Schema != Schema {
		return nil, fmt.Errorf("edits: schema: %q is not known: only %s can be read", d.Schema, Schema)
	}
	if err := d.Validate(0, Video{Frames: d.Source.Frames}); err != nil {
		return nil, fmt.Errorf("edits: %w", err)
	}
	return d, nil
}

// Encode returns the document as JSON, with one operation per line.
func (d *Document) Encode() ([]byte, error) {
	head := *d
	head.Operations = nil
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	text = append(bytes.TrimSuffix(text, []byte("null}")), '[')
	for i := range d.Operations {
		line, err := json.Marshal(&d.Operations[i])
		if err != nil {
			return nil, err
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, '\n'), line...)
	}
	return append(text, "\n]}\n"...), nil
}

// ETag identifies the content of the document.
func (d *Document) ETag() string {
	hash := sha256.New()
	_ = json.NewEncoder(hash).Encode(d.BasedOn) // never fails
	for i := range d.Operations {
		_ = json.NewEncoder(hash).Encode(&d.Operations[i])
	}
	return fmt.Sprintf(`"%d-%s"`, len(d.Operations), hex.EncodeToString(hash.Sum(nil)[:8]))
}

// With returns the document with further operations, and assigns their IDs.
func (d *Document) With(operations ...Operation) *Document {
	longer := *d
	longer.Operations = slices.Grow(slices.Clone(d.Operations), len(operations))
	for _, o := range operations {
		o.ID = len(longer.Operations) + 1
		longer.Operations = append(longer.Operations, o)
	}
	return &longer
}

// Upto returns the document with only its first operations.
func (d *Document) Upto(operations int) *Document {
	shorter := *d
	shorter.Operations = d.Operations[:min(operations, len(d.Operations))]
	return &shorter
}
