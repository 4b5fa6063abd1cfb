-- The columns of a parts+sqlite file that damage touches, with rows that need not be sound.
CREATE TABLE restow_unit (unit_no INTEGER PRIMARY KEY, unit TEXT, token TEXT, digest BLOB);
CREATE TABLE restow_page (page_no INTEGER PRIMARY KEY, unit_no INTEGER, first_key BLOB,
    records INTEGER, raw_len INTEGER, digest BLOB, data BLOB);
CREATE TABLE restow_part (part_no INTEGER PRIMARY KEY, unit_no INTEGER, first INTEGER,
    count INTEGER, raw_len INTEGER, digest BLOB, data BLOB);
INSERT INTO restow_unit VALUES (1, 'a', NULL, x'01020304'), (2, 'b', NULL, x'05060708');
INSERT INTO restow_page VALUES (1, 1, x'01', 1, 8, x'0101', x'0102030405060708'),
    (2, 2, x'02', 2, 8, x'0202', x'1112131415161718');
INSERT INTO restow_part VALUES (1, 1, 0, 1, 8, x'0303', x'2122232425262728'),
    (2, 2, 0, 2, 8, x'0404', x'3132333435363738');
