// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
)

// The tags of TIFF 6.0 and EXIF 2.3 that are used.
const (
	tagSubfileType  = 0x00fe
	tagOldSubfile   = 0x00ff
	tagWidth        = 0x0100
	tagHeight       = 0x0101
	tagDescription  = 0x010e
	tagMake         = 0x010f
	tagModel        = 0x0110
	tagOrientation  = 0x0112
	tagXResolution  = 0x011a
	tagYResolution  = 0x011b
	tagUnit         = 0x0128
	tagSoftware     = 0x0131
	tagDateTime     = 0x0132
	tagArtist       = 0x013b
	tagSubIFDs      = 0x014a
	tagCopyright    = 0x8298
	tagEXIF         = 0x8769
	tagICC          = 0x8773
	tagOriginal     = 0x9003
	tagLayers       = 0x935c
	tagColorSpace   = 0xa001
	tagInteroperate = 0xa005
	tagInteropIndex = 0x0001
)

// tag is a text tag of EXIF.
type tag struct {
	id   uint16
	text string
}

// keepable maps names in output::keep, in lower case, to the EXIF tags that they keep.
var keepable = map[string][]uint16{
	"creation_time":    {tagOriginal, tagDateTime},
	"datetime":         {tagDateTime},
	"datetimeoriginal": {tagOriginal},
	"make":             {tagMake},
	"model":            {tagModel},
	"software":         {tagSoftware},
	"artist":           {tagArtist},
	"copyright":        {tagCopyright},
	"imagedescription": {tagDescription},
}

// maxText is the maximum length of a text that is kept, in bytes.
const maxText = 1024

// kept returns the tags that a list of names keeps.
func kept(tags []tag, names []string) (some []tag) {
	for _, name := range names {
		for _, t := range tags {
			if slices.Contains(keepable[strings.ToLower(name)], t.id) && !slices.Contains(some, t) {
				some = append(some, t)
			}
		}
	}
	return some
}

// directory is a list of entries in a file with the structure of TIFF, which EXIF has, too.
type directory struct {
	file    []byte
	order   binary.ByteOrder
	entries []byte // 12 bytes each
	next    uint32 // offset of the next directory, 0 for none
}

// openDirectory opens the directory at an offset, or the first one for 0.
func openDirectory(file []byte, offset uint32) (d directory, ok bool) {
	d.file = file
	switch {
	case len(file) < 8:
		return d, false
	case string(file[:2]) == "II":
		d.order = binary.LittleEndian
	case string(file[:2]) == "MM":
		d.order = binary.BigEndian
	default:
		return d, false
	}
	if offset == 0 {
		offset = d.order.Uint32(file[4:])
	}
	if offset < 8 || uint64(offset)+2 > uint64(len(file)) {
		return d, false
	}
	rest := file[offset:]
	size := 12 * int(d.order.Uint16(rest))
	if len(rest) < 2+size {
		return d, false
	}
	d.entries = rest[2 : 2+size]
	if rest = rest[2+size:]; len(rest) >= 4 {
		d.next = d.order.Uint32(rest)
	}
	return d, true
}

// sizes are the sizes of the TIFF data types in bytes, by their number.
var sizes = [...]uint64{1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}

// value returns the bytes of an entry's values, or nil if there are none, and their type.
func (d directory) value(id uint16) (value []byte, kind uint16) {
	for e := d.entries; len(e) >= 12; e = e[12:] {
		if d.order.Uint16(e) != id {
			continue
		}
		kind := d.order.Uint16(e[2:])
		if kind == 0 || int(kind) >= len(sizes) {
			return nil, 0
		}
		size := sizes[kind] * uint64(d.order.Uint32(e[4:]))
		if size <= 4 {
			return e[8 : 8+size], kind
		}
		from := uint64(d.order.Uint32(e[8:]))
		if from > uint64(len(d.file)) || size > uint64(len(d.file))-from {
			return nil, 0
		}
		return d.file[from : from+size], kind
	}
	return nil, 0
}

// number returns the first integer of an entry, or its first fraction rounded down.
func (d directory) number(id uint16) (n uint32, ok bool) {
	switch v, kind := d.value(id); {
	case kind == 3 && len(v) >= 2:
		return uint32(d.order.Uint16(v)), true
	case kind == 4 && len(v) >= 4:
		return d.order.Uint32(v), true
	case kind == 5 && len(v) >= 8 && d.order.Uint32(v[4:]) > 0:
		return d.order.Uint32(v) / d.order.Uint32(v[4:]), true
	}
	return 0, false
}

func (d directory) text(id uint16) string {
	v, kind := d.value(id)
	if kind != 2 || len(v) > maxText {
		return ""
	}
	text, _, _ := bytes.Cut(v, []byte{0})
	return strings.ToValidUTF8(string(text), "")
}

// readEXIF reads the orientation, the density, and the texts that may be kept, from the first block. It ignores invalid
// data: no picture depends on it.
func (h *header) readEXIF(file []byte) {
	d, ok := openDirectory(file, 0)
	if !ok || h.exif {
		return
	}
	h.exif = true
	if n, ok := d.number(tagOrientation); ok && n >= 1 && n <= 8 {
		h.orientation = int(n)
	}
	h.readDensity(d)
	h.readTexts(d)
}

// readDensity reads the density, unless the format itself has one.
func (h *header) readDensity(d directory) {
	x, okX := d.number(tagXResolution)
	y, okY := d.number(tagYResolution)
	if unit, ok := d.number(tagUnit); h.density.unit == 0 && okX && okY && (!ok || unit == 2 || unit == 3) {
		h.density = density{uint8(max(unit, 2) - 1), x, y}
	}
}

// readTexts reads the texts of a directory and of its EXIF subdirectory.
func (h *header) readTexts(d directory) {
	for _, id := range []uint16{tagDescription, tagMake, tagModel, tagSoftware, tagDateTime, tagArtist, tagCopyright} {
		if text := d.text(id); text != "" {
			h.tags = append(h.tags, tag{id, text})
		}
	}
	at, ok := d.number(tagEXIF)
	if !ok {
		return
	}
	sub, ok := openDirectory(d.file, at)
	if !ok {
		return
	}
	if text := sub.text(tagOriginal); text != "" {
		h.tags = append(h.tags, tag{tagOriginal, text})
	}
	// DCF 2.0: cameras mark Adobe RGB this way, instead of with a profile.
	if at, ok := sub.number(tagInteroperate); ok {
		if interop, ok := openDirectory(d.file, at); ok {
			index, _ := interop.value(tagInteropIndex)
			h.adobeRGB = bytes.HasPrefix(index, []byte("R03"))
		}
	}
}

// exif returns an EXIF block, without its header, of an orientation, texts, the mark of Adobe RGB, and a density with a
// unit. It returns nil if there is nothing to write.
func exif(orientation int, tags []tag, adobeRGB bool, d density) []byte {
	known := d.unit > 0 && d.x > 0 && d.y > 0
	if orientation <= 1 && len(tags) == 0 && !adobeRGB && !known {
		return nil
	}
	var main, sub, interop ifd
	if orientation > 1 {
		main.short(tagOrientation, uint16(orientation))
	}
	if known {
		main.fraction(tagXResolution, d.x, 1)
		main.fraction(tagYResolution, d.y, 1)
		main.short(tagUnit, uint16(d.unit)+1)
	}
	for _, t := range tags {
		if t.id == tagOriginal {
			sub.ascii(t.id, t.text)
		} else {
			main.ascii(t.id, t.text)
		}
	}
	if adobeRGB {
		const uncalibrated = 0xffff
		sub.short(tagColorSpace, uncalibrated)
		interop.ascii(tagInteropIndex, "R03")
		sub.pointer(tagInteroperate, &interop)
	}
	if len(sub.entries) > 0 {
		main.pointer(tagEXIF, &sub)
	}
	return main.file()
}

// ifd is a directory to write, in the structure of TIFF, little-endian.
type ifd struct{ entries []entry }

type entry struct {
	id, kind uint16
	count    uint32
	value    []byte
	below    *ifd // what value points to
}

func (d *ifd) short(id uint16, values ...uint16) {
	e := entry{id: id, kind: 3, count: uint32(len(values))}
	for _, v := range values {
		e.value = binary.LittleEndian.AppendUint16(e.value, v)
	}
	d.entries = append(d.entries, e)
}

func (d *ifd) long(id uint16, values ...uint32) {
	e := entry{id: id, kind: 4, count: uint32(len(values))}
	for _, v := range values {
		e.value = binary.LittleEndian.AppendUint32(e.value, v)
	}
	d.entries = append(d.entries, e)
}

func (d *ifd) fraction(id uint16, num, den uint32) {
	v := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, num), den)
	d.entries = append(d.entries, entry{id: id, kind: 5, count: 1, value: v})
}

func (d *ifd) ascii(id uint16, text string) {
	d.entries = append(d.entries, entry{id: id, kind: 2, count: uint32(len(text) + 1), value: append([]byte(text), 0)})
}

func (d *ifd) undefined(id uint16, data []byte) {
	d.entries = append(d.entries, entry{id: id, kind: 7, count: uint32(len(data)), value: data})
}

func (d *ifd) pointer(id uint16, to *ifd) {
	d.entries = append(d.entries, entry{id: id, kind: 4, count: 1, value: make([]byte, 4), below: to})
}

// file returns a file of this directory and its subdirectories.
func (d *ifd) file() []byte { return d.append([]byte("II*\x00\x08\x00\x00\x00")) }

// append appends the directory, and what does not fit into its entries: values and subdirectories.
func (d *ifd) append(file []byte) []byte {
	slices.SortStableFunc(d.entries, func(a, b entry) int { return int(a.id) - int(b.id) })
	file = binary.LittleEndian.AppendUint16(file, uint16(len(d.entries)))
	at := len(file)
	file = append(file, make([]byte, 12*len(d.entries)+4)...)
	for _, e := range d.entries {
		binary.LittleEndian.PutUint16(file[at:], e.id)
		binary.LittleEndian.PutUint16(file[at+2:], e.kind)
		binary.LittleEndian.PutUint32(file[at+4:], e.count)
		switch {
		case e.below != nil:
			binary.LittleEndian.PutUint32(file[at+8:], uint32(len(file)))
			file = e.below.append(file)
		case len(e.value) <= 4:
			copy(file[at+8:], e.value)
		default:
			binary.LittleEndian.PutUint32(file[at+8:], uint32(len(file)))
			file = append(file, e.value...)
		}
		if len(file)%2 == 1 { // offsets are even
			file = append(file, 0)
		}
		at += 12
	}
	return file
}
