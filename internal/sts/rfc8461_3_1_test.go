package sts_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mtasts/go-mtasts/internal/sts"
)

// "The MTA-STS TXT record is a TXT record with the name "_mta-sts" at the
// Policy Domain."
func TestRFC8461_3_1_RecordIsNamedMtaStsAtThePolicyDomain(t *testing.T) {
	if got := sts.RecordLabel + "example.com"; got != "_mta-sts.example.com" {
		t.Errorf("got %s", got)
	}
}

// "MTA-STS TXT records MUST be US-ASCII, semicolon-separated key/value pairs."
func TestRFC8461_3_1_RecordIsUSASCII(t *testing.T) {
	for c := range 256 {
		for _, format := range []string{"v=STSv1; id=1; x%cx=y", "v=STSv1; id=1; x=y%cy", "v=STSv1; id=1%c1"} {
			before, after, _ := strings.Cut(format, "%c")
			txt := before + string([]byte{byte(c)}) + after
			if _, err := sts.ParseRecord(txt); err == nil && (c < 0x20 || c > 0x7e) {
				t.Errorf("accepted %q", txt)
			}
		}
	}
}

// "sts-field-delim = *WSP ";" *WSP": nothing else separates two fields.
func TestRFC8461_3_1_FieldsAreSeparatedBySemicolons(t *testing.T) {
	for _, delim := range []string{";", "; ", " ;", "\t;\t", " \t ; \t "} {
		txt := "v=STSv1" + delim + "id=1" + delim + "x=y" + delim
		if rec, err := sts.ParseRecord(txt); err != nil || rec.ID != "1" {
			t.Errorf("%q: got %+v, %v", txt, rec, err)
		}
	}
	for _, delim := range []string{"", " ", ",", ":", "&", "\n", "\r\n;", ";\r\n", ";;", "; ;", "\u00a0;", ";\u3000", ";\x00", "\\;"} {
		for _, txt := range []string{
			"v=STSv1" + delim + "id=1; x=y",
			"v=STSv1; id=1" + delim + "x=y",
		} {
			// A comma or a colon may be part of a value, but an equals sign may
			// not.
			if rec, err := sts.ParseRecord(txt); err == nil {
				t.Errorf("%q: got %+v", txt, rec)
			}
		}
	}
}

// "v": (plain-text, required). Currently, only "STSv1" is supported.
func TestRFC8461_3_1_OnlyVersionSTSv1IsSupported(t *testing.T) {
	for _, version := range []string{"STSv2", "STSv", "STSv10", "STSv1.", "stsv1", "STSV1", "", "1", "TLSRPTv1"} {
		txt := "v=" + version + "; id=1;"
		if _, err := sts.ParseRecord(txt); err == nil {
			t.Errorf("ParseRecord accepted %q", txt)
		}
		if _, err := sts.FindRecord([]string{txt}); !errors.Is(err, sts.ErrNoRecord) {
			t.Errorf("FindRecord of %q: %v", txt, err)
		}
	}
}

// "id": (plain-text, required).
func TestRFC8461_3_1_IDIsRequired(t *testing.T) {
	for _, txt := range []string{"v=STSv1;", "v=STSv1; ", "v=STSv1; x=y", "v=STSv1; ID=1", "v=STSv1; idx=1", "v=STSv1; x.id=1"} {
		rec, err := sts.ParseRecord(txt)
		if err == nil {
			t.Errorf("%q: got %+v", txt, rec)
		}
	}
}

// "sts-id = %s"id=" 1*32(ALPHA / DIGIT)"
func TestRFC8461_3_1_IDIs1To32LettersOrDigits(t *testing.T) {
	for n := range 70 {
		id := strings.Repeat("7", n)
		rec, err := sts.ParseRecord("v=STSv1; id=" + id)
		if valid := n >= 1 && n <= 32; (err == nil) != valid || valid && rec.ID != id {
			t.Errorf("id of %d characters: got %+v, %v", n, rec, err)
		}
	}
	for c := range 256 {
		if c == ';' {
			continue // ends the field
		}
		id := "a" + string([]byte{byte(c)}) + "b"
		alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		rec, err := sts.ParseRecord("v=STSv1; id=" + id)
		if (err == nil) != alphanumeric || alphanumeric && rec.ID != id {
			t.Errorf("id %q: got %+v, %v", id, rec, err)
		}
	}
}

// Senders "determine when the policy has been updated by comparing to the "id"
// of a previously seen policy", so ids that differ must stay different.
func TestRFC8461_3_1_IDsStayDistinct(t *testing.T) {
	seen := make(map[string]string)
	for _, id := range []string{"a", "A", "1", "01", "001", "a1", "A1", "20160831085700Z", "20160831085700z"} {
		rec, err := sts.ParseRecord("v=STSv1; id=" + id + ";")
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[rec.ID]; ok {
			t.Errorf("ids %s and %s became one", other, id)
		}
		seen[rec.ID] = id
	}
}

// "The TXT record MUST begin with the sts-version field."
func TestRFC8461_3_1_RecordBeginsWithVersion(t *testing.T) {
	for _, txt := range []string{"id=1; v=STSv1", "id=1; v=STSv1;", " v=STSv1; id=1", ";v=STSv1; id=1", "\ufeffv=STSv1; id=1", "x=y; v=STSv1; id=1"} {
		if _, err := sts.ParseRecord(txt); err == nil {
			t.Errorf("ParseRecord accepted %q", txt)
		}
		if _, err := sts.FindRecord([]string{txt}); !errors.Is(err, sts.ErrNoRecord) {
			t.Errorf("FindRecord of %q: %v", txt, err)
		}
	}
}

// "The order of other fields is not significant."
func TestRFC8461_3_1_OrderOfFieldsIsNotSignificant(t *testing.T) {
	fields := []string{"id=abc", "x=1", "y=2"}
	for _, order := range [][3]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		txt := fmt.Sprintf("v=STSv1; %s; %s; %s", fields[order[0]], fields[order[1]], fields[order[2]])
		if rec, err := sts.ParseRecord(txt); err != nil || rec.ID != "abc" {
			t.Errorf("%q: got %+v, %v", txt, rec, err)
		}
	}
}

// "Records that do not begin with "v=STSv1;" are discarded."
func TestRFC8461_3_1_OtherRecordsAreDiscarded(t *testing.T) {
	others := []string{
		"", "v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@example.com", "v=STSv2; id=2", "v=STSv1", "v=STSv1,id=2",
		"V=STSv1; id=2", " v=STSv1; id=2", "v=STSv10; id=2", "\x00\xff",
	}
	if _, err := sts.FindRecord(others); !errors.Is(err, sts.ErrNoRecord) {
		t.Errorf("without our record: got %v", err)
	}
	for _, other := range others {
		for _, txts := range [][]string{{other, "v=STSv1; id=1;"}, {"v=STSv1; id=1;", other}} {
			if rec, err := sts.FindRecord(txts); err != nil || rec.ID != "1" {
				t.Errorf("%q: got %+v, %v", txts, rec, err)
			}
		}
	}
}

// "If the number of resulting records is not one ... senders MUST assume the
// recipient domain does not have an available MTA-STS Policy."
func TestRFC8461_3_1_MoreThanOneRecordIsNoPolicy(t *testing.T) {
	good := "v=STSv1; id=1;"
	for _, second := range []string{good, "v=STSv1; id=2", "v=STSv1;", "v=STSv1;garbage", "v=STSv1; id=!"} {
		for _, txts := range [][]string{{good, second}, {second, good}, {good, "v=spf1 -all", second}} {
			if rec, err := sts.FindRecord(txts); !errors.Is(err, sts.ErrManyRecords) {
				t.Errorf("%q: got %+v, %v", txts, rec, err)
			}
		}
	}
	if _, err := sts.FindRecord(nil); !errors.Is(err, sts.ErrNoRecord) {
		t.Errorf("no record at all: got %v", err)
	}
}

// "... or if the resulting record is syntactically invalid, senders MUST assume
// the recipient domain does not have an available MTA-STS Policy."
func TestRFC8461_3_1_InvalidRecordIsNoPolicy(t *testing.T) {
	for _, txt := range []string{
		"v=STSv1;", "v=STSv1; id", "v=STSv1; id=", "v=STSv1; id=a-b", "v=STSv1; id=1;;", "v=STSv1; id=1 ",
		"v=STSv1; id=1; x", "v=STSv1; id=1; x=", "v=STSv1; id=1; x=y=z", "v=STSv1; id=1; -x=y", "v=STSv1; id=1; x=y z",
	} {
		rec, err := sts.FindRecord([]string{txt})
		if err == nil {
			t.Errorf("%q: got %+v", txt, rec)
			continue
		}
		checkSyntaxError(t, err)
	}
}

// The type of an error tells a caller why there is no record, and its text tells a user.
func TestRFC8461_3_1_TheErrorTellsWhyThereIsNoRecord(t *testing.T) {
	for _, c := range []struct {
		txts               []string
		none, many, syntax bool
		text               string
	}{
		{txts: nil, none: true, text: `no TXT record begins with "v=STSv1;"`},
		{txts: []string{"v=spf1 -all", `"v=STSv1; id=1;"`}, none: true,
			text: `no TXT record begins with "v=STSv1;"; a near miss is "\"v=STSv1; id=1;\"": quotation marks`},
		{txts: []string{`V=STSv1\; id=1\;`}, none: true,
			text: `no TXT record begins with "v=STSv1;"; a near miss is "V=STSv1\\; id=1\\;": an escaped semicolon, wrong case`},
		{txts: []string{"v=STSv1; id=1", "v=STSv1; id=1"}, many: true, text: sts.ErrManyRecords.Error()},
		{txts: []string{`v=STSv1; id=1\;`, `"v=STSv1; id=1;"`}, syntax: true,
			text: `TXT record: needs an id of 1 to 32 letters and digits at "id=1\\;"`},
	} {
		_, err := sts.FindRecord(c.txts)
		_, syntax := errors.AsType[*sts.SyntaxError](err)
		if errors.Is(err, sts.ErrNoRecord) != c.none || errors.Is(err, sts.ErrManyRecords) != c.many || syntax != c.syntax {
			t.Errorf("%q: %#v", c.txts, err)
		}
		if err.Error() != c.text {
			t.Errorf("%q:\ngot  %v\nwant %v", c.txts, err, c.text)
		}
	}
}

// "If the resulting TXT record contains multiple strings, then the record MUST
// be treated as if those strings are concatenated without adding spaces." The
// resolver joins them. The joined record is valid, wherever it was divided. With a space
// it would be a different one.
func TestRFC8461_3_1_StringsAreConcatenatedWithoutSpaces(t *testing.T) {
	const whole = "v=STSv1;id=20160831085700Z;x=y"
	for i := range len(whole) {
		joined := strings.Join([]string{whole[:i], whole[i:]}, "")
		if rec, err := sts.FindRecord([]string{joined}); err != nil || rec.ID != "20160831085700Z" {
			t.Errorf("cut at %d: got %+v, %v", i, rec, err)
		}
	}
	if rec, err := sts.FindRecord([]string{"v=STSv1; id=2016 0831085700Z;"}); err == nil {
		t.Errorf("joined with a space: got %+v", rec)
	}
}
