// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"encoding/binary"
	"slices"
)

// The layout of a profile: ICC.1:2022, 7.2 and 7.3. The header of a profile, as well as its tags, may name the camera,
// the monitor and its serial number, and the author.
const (
	iccHeaderSize  = 128
	iccSizeAt      = 0
	iccVersionAt   = 8
	iccClassAt     = 12
	iccSpaceAt     = 16
	iccPCSAt       = 20
	iccDateAt      = 24
	iccSignatureAt = 36
	iccIntentAt    = 64
	iccWhiteAt     = 68
	maxProfile     = 4 << 20 // bytes; RGB profiles have a few KiB, or a few hundred with tables
	maxTags        = 256
)

// colorTags are the tags of a profile that a color conversion uses: matrix and curves, tables, white point and
// adaptation.
var colorTags = []string{"rXYZ", "gXYZ", "bXYZ", "rTRC", "gTRC", "bTRC", "kTRC", "wtpt", "bkpt", "chad",
	"A2B0", "A2B1", "A2B2", "B2A0", "B2A1", "B2A2", "cicp"}

// colorTypes are the data types of those tags: ICC.1:2022, 10, and ICC.2 for older ones.
var colorTypes = []string{"XYZ ", "curv", "para", "sf32", "mft1", "mft2", "mAB ", "mBA ", "cicp"}

// iccTag is an entry of a profile's tag table.
type iccTag struct {
	name     string
	at, size uint64
}

// readTags returns the entries of a profile's tag table.
func readTags(profile []byte) (tags []iccTag) {
	table := profile[iccHeaderSize+4:]
	for range min(uint64(binary.BigEndian.Uint32(profile[iccHeaderSize:])), uint64(len(table)/12), maxTags) {
		tags = append(tags, iccTag{string(table[:4]), uint64(binary.BigEndian.Uint32(table[4:])),
			uint64(binary.BigEndian.Uint32(table[8:]))})
		table = table[12:]
	}
	return tags
}

// overlaps reports whether two tags share some of their data, but not all of it.
func (t iccTag) overlaps(o iccTag) bool {
	return t.at < o.at+o.size && o.at < t.at+t.size && (t.at != o.at || t.size != o.size)
}

// rebuildProfile returns a profile with the same colors and nothing else, or nil if it is not a valid RGB or gray
// profile.
func rebuildProfile(profile []byte) []byte {
	if len(profile) < iccHeaderSize+4 || len(profile) > maxProfile ||
		string(profile[iccSignatureAt:iccSignatureAt+4]) != "acsp" ||
		!slices.Contains([]string{"RGB ", "GRAY"}, string(profile[iccSpaceAt:iccSpaceAt+4])) ||
		!slices.Contains([]string{"mntr", "scnr", "spac"}, string(profile[iccClassAt:iccClassAt+4])) {
		return nil
	}
	type part struct {
		name string
		data []byte
	}
	var parts []part
	sum := uint64(0)
	tags := readTags(profile)
	for _, t := range tags {
		known := slices.ContainsFunc(parts, func(p part) bool { return p.name == t.name })
		if !slices.Contains(colorTags, t.name) || known {
			continue
		}
		// Data that reaches into another tag's may include a name.
		if t.size < 8 || t.at+t.size > uint64(len(profile)) || slices.ContainsFunc(tags, t.overlaps) ||
			!slices.Contains(colorTypes, string(profile[t.at:t.at+4])) {
			return nil
		}
		if sum += t.size; sum > maxProfile {
			return nil
		}
		parts = append(parts, part{t.name, profile[t.at : t.at+t.size]})
	}
	if len(parts) == 0 {
		return nil
	}
	parts = append(parts, part{"desc", describeProfile(profile[iccVersionAt])},
		part{"cprt", []byte("text\x00\x00\x00\x00\x00\x00\x00\x00")})
	out := make([]byte, iccHeaderSize, len(profile)+256)
	for _, field := range [][2]int{{iccVersionAt, iccDateAt}, {iccSignatureAt, iccSignatureAt + 4},
		{iccIntentAt, iccWhiteAt + 12}} {
		copy(out[field[0]:field[1]], profile[field[0]:field[1]])
	}
	copy(out[iccDateAt:], []byte{7, 0xd0, 0, 1, 0, 1}) // the date is required: 2000-01-01
	out = binary.BigEndian.AppendUint32(out, uint32(len(parts)))
	at := len(out) + 12*len(parts)
	for _, p := range parts {
		out = append(out, p.name...)
		out = binary.BigEndian.AppendUint32(out, uint32(at))
		out = binary.BigEndian.AppendUint32(out, uint32(len(p.data)))
		at += (len(p.data) + 3) &^ 3
	}
	for _, p := range parts {
		out = append(out, p.data...)
		out = append(out, make([]byte, -len(p.data)&3)...)
	}
	binary.BigEndian.PutUint32(out[iccSizeAt:], uint32(len(out)))
	return out
}

// describeProfile returns the required description, in the type of the profile's major version. It reveals nothing.
func describeProfile(major byte) []byte {
	const name = "RGB"
	if major >= 4 { // multiLocalizedUnicodeType with one English name
		text := []byte("mluc\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0cenUS\x00\x00\x00\x06\x00\x00\x00\x1c")
		for _, c := range name {
			text = append(text, 0, byte(c))
		}
		return text
	}
	text := append([]byte("desc\x00\x00\x00\x00\x00\x00\x00\x04"), name+"\x00"...)
	return append(text, make([]byte, 4+4+2+1+67)...) // no Unicode, no ScriptCode
}
