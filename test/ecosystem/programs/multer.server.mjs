import express from 'express';
import multer from 'multer';

const app = express();
const upload = multer({ dest: `${process.argv[2]}/uploads` });
app.post('/upload', upload.single('file'), (request, response) => {
  response.json({ path: request.file.path, size: request.file.size });
});
app.listen(80);
