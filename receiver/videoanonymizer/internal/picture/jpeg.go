// Copyright The otelcol-anonymizer Authors
// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/otelcol-anonymizer/otelcol-anonymizer/receiver/videoanonymizer/internal/media"
)

// The markers of ITU-T T.81, table B.1, without their first byte, 0xff.
const (
	markerSOF0, markerSOF1, markerSOF2 = 0xc0, 0xc1, 0xc2
	markerDHT, markerJPG, markerDAC    = 0xc4, 0xc8, 0xcc
	markerRST0, markerRST7             = 0xd0, 0xd7
	markerSOI, markerEOI               = 0xd8, 0xd9
	markerSOS, markerDQT               = 0xda, 0xdb
	markerAPP0, markerAPP1             = 0xe0, 0xe1
	markerAPP2, markerAPP14            = 0xe2, 0xee
	markerTEM                          = 0x01
)

// maxScans bounds the scans of a progressive JPEG. A scan of very few bytes may touch the whole picture. Encoders write
// about ten.
const maxScans = 100

// leastSeries is the number of consecutive JPEGs that make a file a video, as in media.Tools.Probe. A photo may come
// with a few others.
const leastSeries = 5

// jpegHeader is what is needed to encode a JPEG again the same way.
type jpegHeader struct {
	components []jpegComponent
	// quant are the quantization tables by number, in zigzag order.
	quant [4][64]uint16
}

type jpegComponent struct {
	h, v  int   // sampling factors
	table uint8 // number of its quantization table
}

// The beginnings of APP1 and APP2 segments.
const (
	exifHeader = "Exif\x00\x00"
	iccHeader  = "ICC_PROFILE\x00"
	// XMP part 3, 1.1.3. What does not fit into a segment of the first kind is in segments of the second.
	xmpHeader         = "http://ns.adobe.com/xap/1.0/"
	extendedXMPHeader = "http://ns.adobe.com/xmp/extension/"
)

// readJPEG reads the segments of the first picture in the file, and notes what follows it.
func (h *header) readJPEG(file []byte) error {
	rest := file[2:]
	var profile [256][]byte // by part number
	scans := 0
	for {
		marker, body, after, err := nextSegment(rest)
		if err != nil {
			return err
		}
		rest = after
		switch {
		case marker == markerEOI:
			h.profile = bytes.Join(profile[:], nil)
			h.readAfterJPEG(rest)
			return h.checkJPEG(scans, bytes.Count(rest, []byte{0xff, markerSOI, 0xff}))
		case marker == markerSOS:
			if scans++; scans > maxScans {
				return fmt.Errorf("%w: more than %d scans", media.ErrLimit, maxScans)
			}
			rest = afterScan(rest)
		case marker == markerDQT:
			err = h.jpeg.readTables(body)
		case isSOF(marker):
			err = h.readFrameHeader(marker, body)
		case marker == markerAPP0 && bytes.HasPrefix(body, []byte("JFIF\x00")) && len(body) >= 12:
			if h.density.unit == 0 {
				h.density = density{body[7], uint32(binary.BigEndian.Uint16(body[8:])),
					uint32(binary.BigEndian.Uint16(body[10:]))}
			}
		case marker == markerAPP1 && bytes.HasPrefix(body, []byte(exifHeader)):
			h.readEXIF(body[len(exifHeader):])
		case marker == markerAPP1 && holdsPicture(body):
			h.leaveOut("pictures in the XMP, such as another view or a depth map")
		case marker == markerAPP2 && bytes.HasPrefix(body, []byte(iccHeader)) && len(body) > len(iccHeader)+2:
			profile[body[len(iccHeader)]] = body[len(iccHeader)+2:]
		}
		if err != nil {
			return err
		}
	}
}

func isSOF(marker byte) bool {
	return marker >= markerSOF0 && marker <= 0xcf && marker != markerDHT && marker != markerJPG && marker != markerDAC
}

// nextSegment returns the next marker, its segment without the length, and what follows. Fill bytes may precede a
// marker.
func nextSegment(file []byte) (marker byte, body, rest []byte, err error) {
	truncated := fmt.Errorf("%w: it ends in its headers or has no end", media.ErrDamaged)
	start := bytes.IndexByte(file, 0xff)
	if start < 0 {
		return 0, nil, nil, truncated
	}
	rest = file[start:]
	for len(rest) > 0 && rest[0] == 0xff {
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return 0, nil, nil, truncated
	}
	marker, rest = rest[0], rest[1:]
	if marker == markerEOI || marker == markerSOI || marker == markerTEM || marker == 0 ||
		marker >= markerRST0 && marker <= markerRST7 {
		return marker, nil, rest, nil
	}
	if len(rest) < 2 {
		return 0, nil, nil, truncated
	}
	n := int(binary.BigEndian.Uint16(rest))
	if n < 2 || n > len(rest) {
		return 0, nil, nil, truncated
	}
	return marker, rest[2:n], rest[n:], nil
}

// afterScan skips entropy-coded data, up to the next marker that is not part of it.
func afterScan(file []byte) []byte {
	for i := 0; ; i++ {
		next := bytes.IndexByte(file[i:], 0xff)
		if next < 0 || i+next+1 >= len(file) {
			return nil
		}
		i += next
		if m := file[i+1]; m != 0 && m != 0xff && (m < markerRST0 || m > markerRST7) {
			return file[i:]
		}
	}
}

// readTables reads a DQT segment (T.81, B.2.4.1).
func (j *jpegHeader) readTables(body []byte) error {
	for len(body) > 0 {
		precision, number := body[0]>>4, body[0]&15
		size := 64 * (1 + int(precision))
		if precision > 1 || number > 3 || len(body) < 1+size {
			return fmt.Errorf("%w: a quantization table is not valid", media.ErrDamaged)
		}
		for i := range 64 {
			if precision == 0 {
				j.quant[number][i] = uint16(body[1+i])
			} else {
				j.quant[number][i] = binary.BigEndian.Uint16(body[1+2*i:])
			}
		}
		body = body[1+size:]
	}
	return nil
}

// readFrameHeader reads an SOF segment (T.81, B.2.2).
func (h *header) readFrameHeader(marker byte, body []byte) error {
	switch {
	case marker > markerSOF2:
		return fmt.Errorf("%w: a lossless, hierarchical or arithmetic JPEG: convert it to an ordinary one",
			media.ErrUnsupported)
	case len(h.jpeg.components) > 0 || len(body) < 6 || len(body) < 6+3*int(body[5]) || body[5] == 0:
		return fmt.Errorf("%w: its frame header is not valid", media.ErrDamaged)
	case body[0] != 8:
		return fmt.Errorf("%w: a JPEG of %d bits: convert it to one of 8 bits, or to PNG", media.ErrUnsupported, body[0])
	}
	h.height, h.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	for i := range int(body[5]) {
		c := body[6+3*i:]
		h.jpeg.components = append(h.jpeg.components, jpegComponent{int(c[1] >> 4), int(c[1] & 15), c[2] & 3})
	}
	return nil
}

// checkJPEG fails if the JPEG cannot be written again. scans is its number of scans, and more the number of JPEGs that
// follow.
func (h *header) checkJPEG(scans, more int) error {
	switch {
	case len(h.jpeg.components) == 0 || scans == 0:
		return fmt.Errorf("%w: it has no picture", media.ErrDamaged)
	case len(h.jpeg.components) == 4:
		return fmt.Errorf("%w: a JPEG for print (CMYK), whose colors depend on the press: convert it to RGB",
			media.ErrUnsupported)
	case len(h.jpeg.components) == 2 || len(h.jpeg.components) > 4:
		return fmt.Errorf("%w: a JPEG of %d components", media.ErrUnsupported, len(h.jpeg.components))
	case more+1 >= leastSeries:
		return fmt.Errorf("%w but a series of %d JPEGs: name it .mjpeg, and it is read as a video", media.ErrNotPicture,
			more+1)
	}
	return nil
}

// holdsPicture reports whether XMP may hold a picture: Google's formats for phones embed them as text. XMP that is
// spread over several segments may hold anything.
func holdsPicture(body []byte) bool {
	return bytes.HasPrefix(body, []byte(extendedXMPHeader)) || bytes.HasPrefix(body, []byte(xmpHeader)) &&
		(bytes.Contains(body, []byte("GDepth:Data")) || bytes.Contains(body, []byte("GImage:Data")))
}

// readAfterJPEG notes what follows the picture in its file.
func (h *header) readAfterJPEG(rest []byte) {
	switch more := bytes.Count(rest, []byte{0xff, markerSOI, 0xff}); {
	case more > 0:
		h.leaveOut(fmt.Sprintf("%d more JPEGs after the picture, such as another view, a depth map or a preview", more))
	case bytes.Contains(rest, []byte("ftyp")):
		h.leaveOut("a film after the picture")
	default:
		h.readAfter(rest)
	}
}
